"""Every command first says on which device it computes, and ends where it must not."""

import importlib
import io
import pkgutil

import pytest

pytest.importorskip("soundfile")
for package in ("cyclopts", "tensorboardX", "matplotlib", "tensorflow"):
    pytest.importorskip(package)

from rich.console import Console

import experiments
from experiments import madsep
from experiments.cli import console as device_line
from experiments.cli.console import ANY_DEVICE, DeviceOptions, show_device
from madsep_jax.errors import InputError
from madsep_jax.host.environment import describe_device, environment

#: What each command cannot do without. None of it is there: the device comes first.
NEEDED = {
    "ablation": [],
    "compile_time": [],
    "couplings": ["--checkpoint", "none", "--out", "none"],
    "device_report": ["--peer", "none"],
    "dispatch": [],
    "evaluate": ["--data", "none", "--estimates", "none"],
    "evaluation_speed": [],
    "input_throughput": ["--prepared", "none"],
    "scaling": [],
    "throughput": [],
    "training_memory": [],
    "madsep separate": ["none.wav", "--out", "none", "--checkpoint", "none"],
    "madsep import": ["none.pt", "--out", "none"],
    "madsep export": ["none", "--out", "none"],
}


def commands():
    """All that `python -m experiments.NAME` starts, and those of `madsep`; two commands compute on no device."""
    found = {module.name for module in pkgutil.iter_modules(experiments.__path__) if not module.ispkg}
    found -= {"madsep", "prepare", "report"}
    return found | {f"madsep {name}" for name in madsep.app if not name.startswith("-")}


def test_all_commands_are_here():
    assert commands() == set(NEEDED)


@pytest.mark.parametrize("command", NEEDED)
def test_it_says_the_device_first_and_ends_where_it_is_the_wrong_one(command, tmp_path, monkeypatch, capsys):
    """Nothing is read or written before."""
    monkeypatch.chdir(tmp_path)
    name, *sub = command.split()
    main = importlib.import_module(f"experiments.{name}").main
    assert main([*sub, *NEEDED[command], "--require-accelerator"]) == 2
    out, err = capsys.readouterr()
    assert out.startswith("cpu: ")
    assert out.count("\n") == 1
    assert err.startswith(f"{name}: --require-accelerator: found the CPU alone, expected a GPU or TPU")
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def shown(options, found=None):
    console = Console(record=True, width=40, file=io.StringIO())
    show_device(console, options, found)
    return console.export_text()


def test_the_line_has_backend_number_kind_and_is_one_line():
    found = {
        **environment(),
        "backend": "gpu",
        "device": "NVIDIA H200 with a [long] name, and more of it",
        "device_count": 8,
    }
    for options in (ANY_DEVICE, DeviceOptions(require_accelerator=True)):
        line = shown(options, found)
        assert line.startswith("gpu: 8 × NVIDIA H200 with a [long] name, and more of it, ")
        assert line.count("\n") == 1
    assert shown(ANY_DEVICE) == describe_device() + "\n"


def test_a_cpu_is_no_accelerator():
    with pytest.raises(InputError, match="--require-accelerator: found the CPU alone"):
        device_line.show_device(Console(quiet=True), DeviceOptions(require_accelerator=True))


def test_preparing_a_data_set_computes_on_no_device(tmp_path, capsys):
    """It is NumPy's work alone: it starts no backend, and so says none."""
    from experiments.prepare import main

    assert main(["embedded", "--instructions"]) == 0
    assert "cpu: " not in capsys.readouterr().out
    assert main(["embedded", "--data-dir", str(tmp_path), "--require-accelerator"]) == 2

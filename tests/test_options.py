"""An option is written once, as a field of a config: its flag, its help, its check; and what each command does with it.

The oracle for a new option is a copy of the project with one more field, and nothing else changed.
"""

import dataclasses
import importlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest

pytest.importorskip("soundfile")
pytest.importorskip("cyclopts")

from cyclopts import Parameter, Token

from experiments.ablation import main
from experiments.cli.options import OptionsOf
from experiments.rows.options import AblationOptions
from experiments.rows.plan import DEFAULT_SYSTEMS
from madsep_jax.config.fields import settings_of
from madsep_jax.config.parallel import ParallelConfig, ProcessesConfig
from madsep_jax.config.run import RunConfig
from madsep_jax.config.training import SavingConfig, TrainingConfig

ROOT = Path(__file__).parent.parent

COMMANDS = sorted(
    path.stem for path in (ROOT / "experiments").glob("*.py") if "__main__" in path.read_text(encoding="utf-8")
)


def option_names(options):
    """Names of all options, those of the dataclasses within included."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        yield from option_names(value) if dataclasses.is_dataclass(value) else [field.name]


def made_of_fields(options):
    """The classes of options that are made of a config."""
    found = [getattr(options, field.name) for field in dataclasses.fields(options)]
    return [type(one) for one in found if isinstance(one, OptionsOf)]


def test_no_flag_is_defined_twice():
    names = list(option_names(AblationOptions()))
    assert len(names) > 50
    assert sorted(names) == sorted(set(names))


def test_a_flag_has_the_help_and_the_choices_of_its_field():
    """Each field with a flag is an option of the training, once; what Cyclopts reads of it is the field's own."""
    classes = made_of_fields(AblationOptions())
    fields = [one for kind in (RunConfig, ParallelConfig, ProcessesConfig, SavingConfig) for one in settings_of(kind)]
    flags = [one.option.flag for one in fields if one.option.flag]
    of_options = [setting.option.flag for options in classes for setting in options.settings.values()]
    assert sorted(of_options) == sorted(flags)
    for options in classes:
        hints = typing.get_type_hints(options, include_extras=True)
        for name, setting in options.settings.items():
            assert [one.option for one in settings_of(options.kind) if one.name == setting.name] == [setting.option]
            kind, *about = typing.get_args(hints[name])
            assert [one.help for one in about if isinstance(one, Parameter) and one.help] == [setting.option.help]
            assert kind in (bool, setting.hint | None)


@pytest.mark.parametrize("flag", ["--batch", "--warmup-steps", "--steps-per-call", "--join-timeout"])
def test_a_flag_has_the_check_of_its_field(flag, capsys):
    """What the field expects is what the command says; a field without the check would let -1 pass."""
    kinds = (RunConfig, ParallelConfig, ProcessesConfig)
    (setting,) = [one for kind in kinds for one in settings_of(kind) if one.option.flag == flag]
    distributed = ["--distributed"] if flag == "--join-timeout" else []
    assert main([f"{flag}=-1", *distributed, "--dry-run"]) == 2
    line = capsys.readouterr().err
    assert f"{flag}: found -1, expected {setting.option.check.expected}" in line


FIELD = """    label_noise: float = option(
        0.0, "Noise added to the targets (dB).", zero_or_more("dB"), flag="--label-noise"
    )
    seed: int = option("""

SCRIPT = """
import json
import sys
from pathlib import Path

from experiments.ablation import main
from experiments.rows.folder import ExperimentFolder
from experiments.rows.options import AblationOptions, RunOptions
from experiments.rows.plan import make_plan

assert main(["--help"]) == 0
assert main(["--print-config", "--label-noise", "3"]) == 0
plan = make_plan(AblationOptions(run=RunOptions(label_noise=3.0), systems=("dae",), seeds=1))
ExperimentFolder.find(Path("saved"), plan.base, "songs").create()
print("saved", json.loads(Path("saved/experiment.json").read_text())["identity"]["training.label_noise"])
print("row", [row.config.training.label_noise for row in plan.rows if row.config])
assert main(["--label-noise", "-1", "--dry-run"]) == 2
"""


def test_a_new_option_is_its_field(tmp_path):
    for package in ("madsep_jax", "data_pipelines", "experiments"):
        leave_out = shutil.ignore_patterns("__pycache__", "results")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=leave_out)
    training = tmp_path / "madsep_jax" / "config" / "training.py"
    before = training.read_text(encoding="utf-8")
    assert before.count("    seed: int = option(") == 1
    training.write_text(before.replace("    seed: int = option(", FIELD), encoding="utf-8")
    command = [sys.executable, "-c", SCRIPT]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "120"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"--label-noise FLOAT +Noise added to the targets \(dB\)\. \[default: 0\.0\]", done.stdout)
    assert "training.label_noise = 3.0  # preset: 0.0\n" in done.stdout
    assert "saved 3.0\nrow [3.0]\n" in done.stdout
    assert done.stderr == "ablation: --label-noise: found -1.0, expected 0 or more dB\n"


def printed(capsys, *arguments):
    assert main(["--print-config", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_what_is_compared_where_nothing_is_said(capsys):
    """The quick preset has three seeds of each system, the others, which take days, one."""
    titles = [line for line in printed(capsys) if "seed" in line and line.startswith("[")]
    assert titles == [f"[{system}-seed{seed}]" for system in DEFAULT_SYSTEMS["quick"] for seed in range(3)]
    titles = [line for line in printed(capsys, "--preset", "paper") if "seed" in line and line.startswith("[")]
    assert titles == [f"[{system}-seed0]" for system in DEFAULT_SYSTEMS["paper"]]
    assert AblationOptions(seeds=2).seed_count == 2


def test_print_config_shows_every_field_and_marks_the_changed(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = printed(
        capsys, "--set", "training.learning_rate=0.0003", "--steps-per-call", "4", "--systems", "dae", "--seeds", "1"
    )
    assert 'preset = "quick"' in lines
    assert "training.batch_size = 4" in lines
    assert "training.learning_rate = 0.0003  # preset: 0.001" in lines
    assert "steps_per_call = 4  # default: 1" in lines
    assert lines[lines.index("[dae-seed0]") :] == [
        "[dae-seed0]",
        "sequences.frames = 1",
        "sequences.context = 0",
        'masker.kind = "autoencoder"',
        "masker.hidden_layers = 1",
        "masker.skip_filtering = false",
        "training.batch_size = 160",
        "training.seed = 0",
    ]
    assert len([line for line in lines if "#" in line]) == 2
    for title, field in (
        ("validation", "validation_songs = 2"),
        ("processes", "timeout_s = 300"),
        ("saving", "keep_last = 3"),
    ):
        start = lines.index(f"[{title}]")
        assert field in lines[start : lines.index("", start)]
    shown = {line.split(" = ")[0] for line in lines}
    names = {f"training.{one.name}" for one in settings_of(TrainingConfig)}
    assert names <= shown
    assert list(tmp_path.iterdir()) == []


def test_what_print_config_shows_can_be_set(capsys):
    """The lines of one preset, given to another by --set, make it the same configuration."""
    (paper, quick) = (printed(capsys, "--preset", preset, "--systems", "dae") for preset in ("paper", "quick"))
    common = paper[1 : paper.index("")]
    assert common != quick[1 : quick.index("")]
    again = printed(capsys, "--set", *(line.replace(" = ", "=") for line in common if "features" not in line))
    values = [line.split("  # ")[0] for line in again[1 : again.index("")]]
    assert values == common


def test_print_config_refuses_what_a_training_would(capsys):
    assert main(["--print-config", "--steps-per-call", "0"]) == 2
    assert "--steps-per-call: found 0" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_version(command, capsys):
    assert importlib.import_module(f"experiments.{command}").main(["--version"]) == 0
    assert capsys.readouterr() == (f"madsep-jax {importlib.metadata.version('madsep-jax')}\n", "")


@pytest.mark.parametrize("command", ["separate", "import", "export"])
def test_every_sub_command_has_a_version(command, capsys):
    assert importlib.import_module("experiments.madsep").main([command, "--version"]) == 0
    assert capsys.readouterr() == (f"madsep-jax {importlib.metadata.version('madsep-jax')}\n", "")


def arguments_of_all():
    """The arguments of every command and sub-command, with what it is called."""
    for command in COMMANDS:
        app = importlib.import_module(f"experiments.{command}").app
        for one in (app, *app.subapps):
            if getattr(one.default_command, "__module__", "").startswith("experiments."):  # not Cyclopts' own
                yield from ((f"{command} {one.name[0]}", found) for found in one.assemble_argument_collection())


def test_every_whole_number_is_one():
    """Fractions, which Cyclopts rounds, are refused by each option for whole numbers, or a list of them."""
    found = []
    for name, argument in arguments_of_all():
        kinds = {argument.hint, *typing.get_args(argument.hint)}
        if int in kinds and bool not in kinds:
            found.append(f"{name} {argument.name}")
            with pytest.raises(ValueError, match=r"found '5\.7', expected"):
                argument.parameter.converter(argument.hint, [Token(value="5.7")])
    assert len(found) > 50


def test_all_commands_are_found():
    assert len(COMMANDS) == 14

"""Where scores are computed: in float64, on the host's CPU where the process's own device has none."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from madsep_jax.errors import InputError
from madsep_jax.ops import precision
from madsep_jax.ops.choice import kind_of
from madsep_jax.ops.precision import double_precision_device

TPU, GPU = SimpleNamespace(platform="tpu"), SimpleNamespace(platform="cuda")


@pytest.fixture
def on_a_tpu_alone(monkeypatch):
    """As with JAX_PLATFORMS=tpu: this process's devices are no CPU's, and JAX starts no CPU."""
    monkeypatch.setattr(precision, "kind_of", lambda device: "tpu")
    local_devices = jax.local_devices

    def without_cpu(*arguments, backend=None, **others):
        if backend == "cpu":
            raise RuntimeError("Unknown backend cpu")
        return local_devices(*arguments, backend=backend, **others)

    monkeypatch.setattr(jax, "local_devices", without_cpu)


def test_a_tpu_leaves_float64_to_the_cpu_and_a_gpu_does_not():
    assert double_precision_device(TPU) == jax.local_devices(backend="cpu")[0]
    assert double_precision_device(GPU) is GPU
    assert kind_of(GPU) == "gpu"
    assert double_precision_device() in jax.local_devices()


def test_the_users_own_default_device_counts():
    """All are this machine's, but asked for in the thread that computes."""
    last = jax.local_devices()[-1]
    with jax.default_device(last):
        assert double_precision_device() == last


def test_without_a_cpu_the_line_says_what_to_set(on_a_tpu_alone):
    with pytest.raises(
        InputError, match=r"^JAX_PLATFORMS=.*: found no CPU beside the .*; expected JAX_PLATFORMS=.*,cpu"
    ):
        double_precision_device(TPU)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [("ablation", ["--dry-run"]), ("evaluate", ["--estimates", "separated"])],
)
def test_commands_say_so_before_they_begin(command, arguments, tmp_path, monkeypatch, capsys, on_a_tpu_alone):
    """And not after hours of training."""
    for package in ("cyclopts", "soundfile", "tensorboardX", "matplotlib"):
        pytest.importorskip(package)
    from experiments import ablation, evaluate

    monkeypatch.chdir(tmp_path)
    if command == "evaluate":
        arguments = ["--data", "embedded", *arguments]
    assert {"ablation": ablation, "evaluate": evaluate}[command].main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{command}: JAX_PLATFORMS=")
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


#: Of two devices the second one is given, and all that is computed is asked where it lies.
_ON_THE_SECOND = """
import jax, numpy as np
jax.config.update("jax_num_cpu_devices", 2)
from experiments.scoring import score_song
from madsep_jax.bss_eval import energies, filters, v4

first, second = jax.local_devices()
score_song.double_precision_device = lambda: second
seen = set()

def noting(module, name):
    function = module[name] if isinstance(module, dict) else getattr(module, name)
    def noted(*arguments, **options):
        found = function(*arguments, **options)
        seen.update(*(leaf.devices() for leaf in jax.tree.leaves(found)))
        return found
    module.update({name: noted}) if isinstance(module, dict) else setattr(module, name, noted)

for module, name in ((filters, "_add_blocks"), (filters, "_equations"), (filters, "_solve"), (v4, "_spectra"),
                     (v4, "_energies"), (energies, "_quadratic_forms")):
    noting(module, name)
for name in list(score_song._WHOLE_SONG):
    noting(score_song._WHOLE_SONG, name)
x = np.random.default_rng(0).standard_normal((4, 3000, 1))
true, found = ({"vocals": one, "accompaniment": other} for one, other in (x[:2], x[2:]))
for protocol in ("sisec18", "paper", "usdr", "si-sdr"):
    seen.clear()
    score_song.score_sources("s", true, found, 1000, protocol, "jax")
    assert seen == {second}, (protocol, seen)
print("done")
"""


@pytest.mark.thorough
def test_every_protocol_computes_where_it_is_told():
    root = Path(precision.__file__).parents[2]
    pytest.importorskip("soundfile")
    ran = subprocess.run([sys.executable, "-c", _ON_THE_SECOND], cwd=root, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "done\n"

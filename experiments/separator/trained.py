"""Which trained separator is used, and where: by default the newest under `runs/`, on the device that JAX chooses."""

from collections.abc import Iterator
from pathlib import Path

import jax

from madsep_jax.checkpoint.folder import Weights, checkpoint_folder, find_checkpoint
from madsep_jax.config.run import RunConfig
from madsep_jax.config.systems import system_name
from madsep_jax.errors import InputError, shown
from madsep_jax.host.files import read_json
from madsep_jax.interop.exported import ENDING
from madsep_jax.parallel.devices import device_named

#: Where the ablation keeps its rows, and people what they import.
RUNS = Path("runs")
#: What is above that is hardly missed.
_HEARD_HZ = 16_000


def choose_checkpoint(given: Path | None, runs: Path = RUNS) -> Path:
    """Return the checkpoint in the folder, or the file, that is given, or else the newest: of a row, or imported.

    Raises:
        InputError: where there is none, with how to come by one.
    """
    if given is not None:
        return given if given.is_file() and given.suffix == ENDING else find_checkpoint(given)
    for _, folder in sorted(_trained(runs), reverse=True):
        try:
            return find_checkpoint(folder)
        except InputError:  # it is damaged, or of another version
            continue
    raise InputError(
        f"--checkpoint: found no finished row under {shown(runs.absolute())}, expected a trained separator; train one "
        "in about a minute (python -m experiments.ablation --systems mad), import published weights (madsep import "
        "FILE… --out runs/published), or name its folder"
    )


def _trained(runs: Path) -> Iterator[tuple[float, Path]]:
    """Yield the rows that are finished and have weights, and imported checkpoints, with the time of their last file."""
    for result in runs.glob("*/rows/*/row.json"):
        try:
            content = read_json(result)
        except InputError:
            continue
        is_done = isinstance(content, dict) and content.get("status") == "done"
        if is_done and checkpoint_folder(result.parent).is_dir():
            yield result.stat().st_mtime, result.parent
    for config in runs.glob("*/config.json"):
        yield config.stat().st_mtime, config.parent


def describe(checkpoint: Path, config: RunConfig, weights: Weights | None) -> str:
    """Return in one line what a trained separator is, and what it does not hear; weights are None of a file."""
    heard_hz = config.signal.sample_rate / 2
    kind = f"{system_name(config)}, preset {config.preset}, {weights or 'exported weights'}"
    deaf = f"; hears nothing above {heard_hz / 1000:.1f} kHz, which stays in the accompaniment"
    return f"separator: {shown(checkpoint)} ({kind}){deaf if heard_hz < _HEARD_HZ else ''}"


def choose_device(name: str | None) -> jax.Device | None:
    """Return the device of a name, see `device_named`; None for JAX's own choice.

    Raises InputError where JAX finds none.
    """
    if name is None:
        return None
    if name.lower().partition(":")[0] == "cpu":
        jax.config.update("jax_platforms", "cpu")  # so that nothing else is started
    try:
        return device_named(name)
    except InputError as error:
        raise InputError(f"--{error}") from None

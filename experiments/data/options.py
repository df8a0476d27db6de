"""The options of `experiments.prepare`, and what all commands call the embedded songs."""

from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from experiments.cli.options import ManyOrNone, Switch, Whole, option_class, parse_assignment
from madsep_jax.config.io import override
from madsep_jax.config.presets import preset_config
from madsep_jax.errors import InputError
from madsep_jax.host.environment import cpu_cores

if TYPE_CHECKING:
    from data_pipelines.prepared.runners import Runner
    from data_pipelines.prepared.settings import FeatureSettings

EMBEDDED = "embedded"
Name = Literal["dsd100", "musdb18hq", "musdb18", "stems_folder", "embedded"]


@option_class
class PrepareOptions:
    """Where the songs are, what is computed of them, and where it is kept."""

    data_dir: Path | None = None
    """Folder of prepared sets: this one will be in DATA_DIR/NAME/CONFIG/VERSION."""

    manual_dir: Path | None = None
    """Folder of the songs, as you downloaded them; --instructions says what is expected."""

    features: Literal["spectrogram", "waveform"] = "spectrogram"
    """spectrogram: magnitudes; or waveform: samples, of which the training step computes them."""

    dtype: Literal["float32", "float16"] | None = None
    """Of the magnitudes. Default: float32."""

    preset: str = "paper"
    """Signal and sequences: paper, released_code, or quick (a quarter of the size)."""

    set: Annotated[tuple[str, ...], ManyOrNone] = ()
    """Other settings of these, as NAME=VALUE: sequences.frames=120"""

    validation_split: Annotated[bool, Switch] = False
    """Put the songs of MUSDB18's validation list into the split valid, in place of train; songs in a folder valid are
    there anyway."""

    skip_bad: Annotated[bool, Switch] = False
    """Leave out songs that cannot be used, in place of naming them all and ending."""

    processes: Annotated[int, Whole] = field(default_factory=cpu_cores)
    """Songs that are worked on at a time."""

    beam: Annotated[
        tuple[str, ...] | None, Parameter(consume_multiple=True, negative=(), allow_leading_hyphen=True)
    ] = None
    """Run as an Apache Beam pipeline, with its options, as in --beam --runner=FlinkRunner (extra `beam`). All workers
    must see both folders."""

    instructions: Annotated[bool, Parameter(negative=())] = False
    """Only say where the songs are to be had, under which licence, and how to lay them out."""

    def settings(self) -> "FeatureSettings":
        """Return the form of the features. Raises InputError where there is no such form."""
        from data_pipelines.prepared.settings import FeatureSettings

        if self.processes < 1:
            raise InputError(f"--processes: found {self.processes}, expected at least 1")
        if self.dtype and self.features == "waveform":
            raise InputError(f"--dtype {self.dtype}: is for spectrograms, waveforms are int16")
        changes = dict(_assignment(text) for text in self.set)
        config = override(preset_config(self.preset), changes)
        dtype = self.dtype or ("int16" if self.features == "waveform" else "float32")
        return FeatureSettings(features=self.features, dtype=dtype, signal=config.signal, sequences=config.sequences)

    def runner(self) -> "Runner":
        """Return what does the work. Raises InputError where there is no Beam."""
        from data_pipelines.prepared.runners import run_in_beam, run_in_processes

        return run_in_processes(self.processes) if self.beam is None else run_in_beam(self.beam)


def _assignment(text: str) -> tuple[str, Any]:
    name, value = parse_assignment(text)
    if not name.startswith(("signal.", "sequences.")):
        raise InputError(f"--set {text}: expected a field of signal or sequences")
    return name, value

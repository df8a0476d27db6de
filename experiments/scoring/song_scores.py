"""The scores of one song, and the file that holds them: museval's JSON."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from experiments.scoring.protocols import METRICS, PROTOCOLS
from madsep_jax.errors import InputError
from madsep_jax.host.files import read_json, write_json

#: The two sources of a singing-voice separation, named as in MUSDB18 and museval.
TARGETS = ("vocals", "accompaniment")

#: The sources that may be scored together.
TARGET_SETS = (TARGETS, ("vocals", "drums", "bass", "other"))

_DECIMALS = 5


@dataclass(frozen=True)
class WindowCounts:
    """How many windows there are, how many of them have a score (a finite SDR), and how many have none."""

    windows: int
    valid: int
    nan: int
    silent: int
    """Of those without, the ones in which a source is silent. The rest are of estimates without a fault."""


@dataclass(frozen=True, eq=False)
class SongScores:
    """The scores of one song: `targets[target][metric]` is an array (W,) in dB.

    The values are kept as museval's TrackStore keeps them, so that scores just computed and scores read from a
    file give the same medians to the last digit: rounded to 5 decimals, NaN where not finite (a perfect
    estimate's SDR of +inf is NaN too).

    Raises ValueError where a target or a metric is missing or unknown, the arrays are not of one length of 1 or more,
    or the protocol is unknown.
    """

    track: str
    window_s: float
    hop_s: float
    targets: dict[str, dict[str, np.ndarray]]
    museval_version: str = ""
    """Empty where the engine is not museval."""
    protocol: str = "sisec18"
    engine: str = "museval"
    silent_windows: int | None = None
    """None where nobody counted: then those without any score."""
    inputs: str = ""
    """Fingerprint of what was scored."""
    taken: Mapping[str, str] = field(default_factory=dict)
    """What was scored as each target, in words."""

    def __post_init__(self) -> None:
        names = next((names for names in TARGET_SETS if set(names) == set(self.targets)), None)
        if names is None or any(set(metrics) != set(METRICS) for metrics in self.targets.values()):
            found = {target: list(metrics) for target, metrics in self.targets.items()}
            sets = " or ".join(str(list(names)) for names in TARGET_SETS)
            raise ValueError(f"scores of {found}, expected {list(METRICS)} of each of {sets}")
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"protocol {self.protocol!r}, expected one of {list(PROTOCOLS)}")
        rounded = {
            target: {metric: _as_museval_keeps(self.targets[target][metric]) for metric in METRICS} for target in names
        }
        shapes = {values_W.shape for metrics in rounded.values() for values_W in metrics.values()}
        if len(shapes) != 1 or len(shape := shapes.pop()) != 1 or shape[0] == 0:
            raise ValueError(f"scores of {self.track!r} are not arrays of one length of 1 or more")
        object.__setattr__(self, "targets", rounded)
        if self.silent_windows is None:
            no_score_TW = [np.isnan(list(metrics.values())).all(0) for metrics in rounded.values()]
            object.__setattr__(self, "silent_windows", int(np.all(no_score_TW, axis=0).sum()))

    def counts(self, target: str) -> WindowCounts:
        """Count the target's windows with and without a score."""
        sdr_W = self.targets[target]["SDR"]
        valid = int(np.isfinite(sdr_W).sum())
        assert self.silent_windows is not None
        return WindowCounts(sdr_W.size, valid, sdr_W.size - valid, min(self.silent_windows, sdr_W.size - valid))

    def to_json(self) -> dict[str, Any]:
        """Return the scores in museval's schema, plus what the schema has no place for: protocol, engine, track, ….

        A window without a score holds NaN: null in the file, which museval's aggregator reads as its own bare word NaN.
        """
        return {
            "museval_version": self.museval_version,
            "protocol": self.protocol,
            "engine": self.engine,
            "inputs": self.inputs,
            "taken": dict(self.taken),
            "track": self.track,
            "window_s": self.window_s,
            "hop_s": self.hop_s,
            "silent_windows": self.silent_windows,
            "targets": [{"name": target, "frames": self._frames(target)} for target in self.targets],
        }

    def _frames(self, target: str) -> list[dict[str, Any]]:
        windows = self.counts(target).windows
        values = {metric: values_W.tolist() for metric, values_W in self.targets[target].items()}
        return [
            {
                "time": window * self.hop_s,
                "duration": self.window_s,
                "metrics": {metric: values[metric][window] for metric in METRICS},
            }
            for window in range(windows)
        ]

    def write(self, path: Path) -> None:
        """Write the scores to a file, aside first and then renamed: no reader sees half of it."""
        write_json(path, self.to_json())


def from_json(scores: dict[str, Any], track: str) -> SongScores:
    """Return the scores in a parsed file of museval's schema; targets other than those here are left out.

    `track` is the song's name where the file has none, as museval's own. Raises KeyError, TypeError or ValueError where
    the scores are not of that schema.
    """
    found = {target["name"]: target["frames"] for target in scores["targets"]}
    whole = [names for names in TARGET_SETS if all(found.get(target) for target in names)]
    if not whole:
        raise ValueError(f"no windows of {next(target for target in TARGETS if not found.get(target))!r}")
    frames = {target: found[target] for target in whole[0]}
    first = frames[whole[0][0]]
    window_s = scores.get("window_s", first[0]["duration"])
    hop_s = scores.get("hop_s", first[1]["time"] - first[0]["time"] if len(first) > 1 else window_s)
    return SongScores(
        track=str(scores.get("track", track)),
        window_s=_number(window_s),
        hop_s=_number(hop_s),
        targets={
            target: {metric: np.array([_score(f["metrics"][metric]) for f in rows]) for metric in METRICS}
            for target, rows in frames.items()
        },
        museval_version=str(scores.get("museval_version", "")),
        protocol=str(scores.get("protocol", "sisec18")),
        engine=str(scores.get("engine", "museval")),
        silent_windows=scores.get("silent_windows"),
        inputs=str(scores.get("inputs", "")),
        taken={str(target): str(what) for target, what in scores.get("taken", {}).items()},
    )


def read(path: Path) -> SongScores:
    """Read scores that `SongScores.write` or museval wrote. Raises InputError where the file is damaged or absent."""
    scores = read_json(path)
    try:
        return from_json(scores, track=path.stem)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        found = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{path}: found {found}, expected scores in museval's JSON") from error


def _as_museval_keeps(values_W: np.ndarray) -> np.ndarray:
    # Python's round is exact, unlike NumPy's: it equals museval's Decimal(value).quantize(Decimal(".00001")).
    values = np.asarray(values_W, np.float64)
    rounded = [round(v, _DECIMALS) if math.isfinite(v) else math.nan for v in values.ravel().tolist()]
    return np.array(rounded, np.float64).reshape(values.shape)


def _score(value: object) -> float:
    return math.nan if value is None else _number(value)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} where a number belongs")
    return float(value)

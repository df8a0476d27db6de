"""Folders of results as the ablation and the evaluation leave them, made at once; their sounds tell who and when.

The frequency of a sound rises by `RISE_HZ` in a second, from a start that each source has for itself: whoever hears it
knows which one it is, and its position.
"""

import json
from pathlib import Path

import numpy as np

from experiments.scoring.excerpts import ExcerptFolders
from experiments.scoring.song_scores import SongScores

RATE, SECONDS = 22050, 6.0
START_HZ, RISE_HZ, APART_HZ = 400.0, 200.0, 1500.0

#: The order of the sounds' frequencies: the mixture, the true voice, each system's voice.
HEARD = ("mixture", "true source")


def rising(number):
    """A sound by the number of its source (N, 1)."""
    t_N = np.arange(round(SECONDS * RATE)) / RATE
    start_hz = START_HZ + APART_HZ * number
    return 0.4 * np.sin(2 * np.pi * (start_hz * t_N + RISE_HZ / 2 * t_N**2))[:, None]


def heard_as(frequency_hz):
    """The number of a source, and the position in s, of a frequency."""
    number = int((frequency_hz - START_HZ) // APART_HZ)
    return number, (frequency_hz - START_HZ - APART_HZ * number) / RISE_HZ


def scores_of(values):
    """An aggregate, as results.json has it, of a score (dB) for each metric."""
    targets = {
        target: {
            "median_db": {metric: value + shift for metric, value in values.items()},
            "score_db": {metric: value + shift for metric, value in values.items()},
            "interval_db": {metric: [value + shift - 0.5, value + shift + 0.5] for metric, value in values.items()},
        }
        for target, shift in (("vocals", 0.0), ("accompaniment", 4.0))
    }
    return {"protocol": "sisec18", "targets": targets}


def make_ablation(folder, systems=("mad", "dws-3-16"), seeds=2, songs=5, sound=True, failed=(), answer=()):
    """A folder of systems, the n-th of which is n dB better, on each song in its own way; `failed` ones have no scores.

    The sounds are the mixture, the true voice, and each system's voice.
    """
    tracks = [f"song {number}" for number in range(songs)]
    rows = [_row(folder, "mixture", None, 0, -5.0, tracks)]
    for number, system in enumerate(systems):
        for seed in range(seeds):
            row = _row(folder, system, seed, number + 1, 3.0 + number, [] if system in failed else tracks)
            if system in failed:
                row |= {"scores": None, "status": "failed: loss is nan at step 7"}
            rows.append(row)
    if sound:
        _write_sounds(folder, systems, tracks, failed)
    content = {
        "caption": "Preset quick; made for a test.",
        "protocol": "sisec18",
        "base": {"preset": "quick", "training": {"steps": 20, "learning_rate": 0.001}},
        "environment": {"device": "cpu", "cpu_cores": 2, "processor": "a processor", "versions": {"jax": "0.10.2"}},
        "rows": rows,
    }
    if answer:
        pair = {"metric": "SDR", "target": "vocals", "a": systems[1], "b": systems[0], "songs": songs, "seeds": [2, 2]}
        found = {"mean_db": 1.0, "interval_db": [0.4, 1.6], "p_value": 0.01, "p_holm": 0.02, "visible_db": 0.5}
        content |= {"answer": list(answer), "differences": [{**pair, **found, "found": True}]}
    _write_json(folder / "results.json", content)
    return folder


def _row(folder, system, seed, number, level_db, tracks):
    place = _place(folder, system, seed)
    for at, track in enumerate(tracks):
        sdr_db = level_db + (at - len(tracks) // 2) * (1 + 0.1 * number)
        of_song = {"SDR": sdr_db, "ISR": 5.0, "SIR": 6.0, "SAR": 7.0 + at}
        windows = {metric: np.array([value, value + 0.1, value - 0.1]) for metric, value in of_song.items()}
        targets = {"vocals": windows, "accompaniment": windows}
        SongScores(track, 1.0, 1.0, targets, engine="jax").write(place / "scores" / f"{track}.json")
    row = {"system": system, "seed": seed, "status": "done"}
    row["scores"] = scores_of({"SDR": level_db, "SIR": 5.0, "SAR": 8.0})
    if seed is not None:
        place.mkdir(parents=True, exist_ok=True)
        lines = [{"step": step, "loss": 20 / step + seed} for step in range(1, 21)]
        (place / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        row |= {"total_parameters": 300_000 // (number + 1), "masker_parameters": 30_000, "train_step_s": 0.02}
        row |= {"gflop_per_audio_second": 0.3 + number, "real_time_factor": 0.01 * number, "train_s": 12.0}
        row["config"] = {"masker": {"kind": "dws", "layers": 3}, "training": {"seed": seed}}
    return row


def _place(folder, system, seed):
    return folder / "rows" / (system.replace(" ", "-") + ("" if seed is None else f"-seed{seed}"))


def _write_sounds(folder, systems, tracks, failed=()):
    for track in tracks:
        true = {"vocals": rising(1)}
        for number, system in enumerate(systems):
            if system not in failed:
                of_system = _place(folder, system, 0) / "excerpts"
                places = ExcerptFolders(folder / "excerpts", of_system)
                places.cut(track, rising(0), true, {"vocals": rising(2 + number)}, RATE).write()


def make_evaluation(folder, systems=("good", "poor"), targets=("vocals", "accompaniment")):
    """A folder of `evaluate` without songs."""
    content = {"protocol": "sisec18", "caption": "Protocol sisec18.", "systems": {}, "comparisons": []}
    content["environment"] = {"device": "cpu", "cpu_cores": 2, "versions": {"jax": "0.10.2"}}
    for number, system in enumerate(systems):
        scores = scores_of({"SDR": 1.0 + number, "SIR": 2.0, "SAR": 3.0, "ISR": 4.0})
        content["systems"][system] = {**scores, "targets": {target: scores["targets"]["vocals"] for target in targets}}
    _write_json(folder / "results.json", content)
    return folder


def _write_json(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")

"""The answer of an ablation: every sentence word by word, which pairs there are, what table and terminal show."""

import dataclasses
import math

import numpy as np
import pytest

stats = pytest.importorskip("scipy.stats")

from experiments.rows.answer import METRICS, answer
from experiments.rows.options import AblationOptions
from experiments.rows.plan import base_config, make_rows
from experiments.rows.row import RowResult
from experiments.scoring.answer import NamedDifference, compare_systems, sentence
from experiments.scoring.song_scores import SongScores
from madsep_jax.errors import InputError

FOUND = NamedDifference(
    metric="SDR",
    target="vocals",
    a="dws-5-32",
    b="mad",
    songs=16,
    seeds=(3, 3),
    better_songs=7,
    mean_db=-0.1,
    interval_db=(-0.449, 0.26),
    p_value=0.5,
    p_holm=0.9,
    visible_db=0.48,
    found=False,
)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {},
            "dws-5-32 − mad: −0.10 dB SDR [−0.45, +0.26] over 16 songs × 3 seeds: no difference found; one of 0.5 dB "
            "would have been",
        ),
        (
            {"visible_db": 0.5000001, "mean_db": 0.001, "seeds": (3, 2)},
            "dws-5-32 − mad: +0.00 dB SDR [−0.45, +0.26] over 16 songs × 3 and 2 seeds: no difference found; one of "
            "0.6 dB would have been",
        ),
        (
            {"seeds": (1, 1), "visible_db": 0.051, "metric": "SIR", "mean_db": -0.001},
            "dws-5-32 − mad: +0.00 dB SIR [−0.45, +0.26] over 16 songs × 1 seed, of these trainings only: no "
            "difference found; one of 0.06 dB would have been",
        ),
        (
            {"seeds": (3, 1), "found": True, "interval_db": (-0.2, -0.05), "p_holm": 0.0123},
            "dws-5-32 − mad: −0.10 dB SDR [−0.20, −0.05] over 16 songs × 3 and 1 seeds, of these trainings only: mad "
            "is better (p = 0.012)",
        ),
        (
            {"mean_db": 1.0, "found": True, "interval_db": (0.8, 1.2), "p_holm": 1e-5},
            "dws-5-32 − mad: +1.00 dB SDR [+0.80, +1.20] over 16 songs × 3 seeds: dws-5-32 is better (p < 0.001)",
        ),
        (
            {"interval_db": (-0.19, -0.01), "p_holm": 0.09},
            "dws-5-32 − mad: −0.10 dB SDR [−0.19, −0.01] over 16 songs × 3 seeds: no difference found (p = 0.09 as one "
            "of 3 pairs); one of 0.5 dB would have been",
        ),
        (
            {"mean_db": 0.0, "interval_db": (0.0, 0.0), "p_holm": 1.0, "visible_db": 0.0},
            "dws-5-32 − mad: +0.00 dB SDR [+0.00, +0.00] over 16 songs × 3 seeds: no difference, their scores are "
            "equal",
        ),
        (
            {"songs": 1, "mean_db": None, "interval_db": None, "p_value": None, "p_holm": None, "visible_db": None},
            "dws-5-32 − mad: nothing can be said; 1 song with scores of both, where two are needed",
        ),
    ],
)
def test_sentences(changes, text):
    assert sentence(dataclasses.replace(FOUND, **changes), pairs=3, unit="seed") == text


def test_of_what_has_no_seeds_nothing_is_said_of_them():
    assert " over 16 songs: no difference found" in sentence(dataclasses.replace(FOUND, seeds=(1, 1)))


def systems(count, trainings=2, songs=6):
    """Each one 0.5 dB better than the one before, on songs of their own levels."""
    random = np.random.default_rng(0)
    song_S = random.normal(4, 2, songs)
    return {
        f"system {number}": [
            dict(enumerate(song_S + 0.5 * number + random.normal(0, 0.1) + random.normal(0, 0.1, songs)))
            for _ in range(trainings)
        ]
        for number in range(count)
    }


def test_pairs_are_corrected_together():
    """By Holm's loop, of one metric at a time; with a baseline its pairs alone."""
    found = compare_systems({("vocals", "SDR"): systems(3), ("vocals", "SIR"): systems(3)}).differences
    assert [(one.a, one.b) for one in found[:3]] == [
        ("system 1", "system 0"),
        ("system 2", "system 0"),
        ("system 2", "system 1"),
    ]
    largest = 0.0
    for step, one in enumerate(sorted(found[:3], key=lambda one: one.p_value)):
        largest = max(largest, one.p_value * (3 - step))
        assert one.p_holm == pytest.approx(min(largest, 1))
    assert [one.p_holm for one in found[:3]] == [one.p_holm for one in found[3:]]
    against = compare_systems({("vocals", "SDR"): systems(3)}, "system 1").differences
    assert [(one.a, one.b) for one in against] == [("system 0", "system 1"), ("system 2", "system 1")]
    assert against[1].p_value == found[2].p_value
    assert against[1].visible_db < found[2].visible_db  # one of two, not of three


def test_many_pairs_are_shown_against_the_best():
    found = compare_systems({("vocals", metric): systems(6) for metric in METRICS}, unit="seed")
    assert len(found.differences) == 3 * 15
    assert len(found.sentences) == 15
    *shown, rest = found.shown
    assert [text.partition(":")[0] for text in shown] == [f"system 5 − system {number}" for number in range(5)]
    assert rest == "Each against system 5; 10 other pairs are in results.json."
    assert len(found.table("seed").rows) == 3 * 5
    few = compare_systems({("vocals", "SDR"): systems(5)}, unit="seed")
    assert few.shown == few.sentences
    assert few.table("seed").markdown().startswith(f"- {few.sentences[0]}\n")
    with_baseline = compare_systems({("vocals", "SDR"): systems(13)}, "system 0", unit="seed")
    assert with_baseline.shown == with_baseline.sentences
    assert len(with_baseline.shown) == 12


@pytest.mark.parametrize("scores", [{}, {"mad": [{"song": 1.0}]}])
def test_less_than_two_systems_have_no_answer(scores):
    found = compare_systems({("vocals", "SDR"): scores}, unit="seed")
    assert (list(found.differences), list(found.sentences), found.shown, found.table("seed")) == ([], [], [], None)


# From the rows of an experiment


def write_row(experiment, system, seed, by_song):
    """A finished row whose songs have these scores, by window, in all metrics."""
    row = RowResult(system=system, seed=seed, scores={"targets": {}})
    for song, windows in by_song.items():
        metrics = dict.fromkeys(("SDR", "ISR", "SIR", "SAR"), np.array(windows, float))
        scores = SongScores(song, 1.0, 1.0, {"vocals": metrics, "accompaniment": metrics})
        path = row.folder(experiment) / "scores" / f"{song}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        scores.write(path)
    return row


def test_rows_of_an_experiment(tmp_path):
    """A song's score is the median of its windows; failed rows, references and songs without a score do not enter."""
    mad = {"a": [1, 2, 9], "b": [3, math.nan, 5], "c": [7], "silent": [math.nan, math.nan]}
    dws = {"a": [3], "b": [4.5], "c": [8], "silent": [1.0]}
    results = [
        RowResult(system="mixture", seed=None, scores={"targets": {}}),
        write_row(tmp_path, "mad", 0, mad),
        write_row(tmp_path, "dws-5-32", 0, dws),
        RowResult(system="dws-5-32", seed=1, status="failed: loss is nan at step 3"),
    ]
    found = answer(results, tmp_path)
    assert [(one.metric, one.target, one.a, one.b) for one in found.differences] == [
        (metric, "vocals", "dws-5-32", "mad") for metric in ("SDR", "SIR", "SAR")
    ]
    sdr = found.differences[0]
    assert (sdr.songs, sdr.seeds, sdr.better_songs) == (3, (1, 1), 3)
    assert sdr.mean_db == pytest.approx((1 + 0.5 + 1) / 3)
    assert sdr.p_value == pytest.approx(stats.ttest_rel([3, 4.5, 8], [2, 4, 7]).pvalue)
    assert "× 1 seed, of these trainings only" in found.sentences[0]
    # a row without its scores by song, and a training more
    assert "nothing can be said; 0 songs" in answer(results, tmp_path / "elsewhere").sentences[0]
    results.append(write_row(tmp_path, "mad", 1, mad))
    assert answer(results, tmp_path, "mad").differences[0].seeds == (1, 2)


def test_a_baseline_is_one_of_the_systems():
    options = AblationOptions(systems=("mad", "dws-3-16"), baseline="dws-5-32")
    with pytest.raises(InputError, match="--baseline dws-5-32: found none of the rows, expected one of mad, dws-3-16"):
        make_rows(options, base_config(options, None))

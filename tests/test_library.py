"""Training and comparing in a call, and the examples of the docstrings.

Oracles: the same steps one by one, the scores of the ablation's own code, and what each example says.
"""

import doctest
import importlib
import math

import numpy as np
import pytest
from tiny import DWS, GRU, SIGNAL, open_masks
from tiny_checkpoint import save_model

from madsep_jax import Separator, Song, compare
from madsep_jax.signal.level import Survey
from madsep_jax.train import Batch, WaveformBatch, compile_train_step, init_state, train

RATE = SIGNAL.sample_rate


def batches(count, config=GRU):
    random = np.random.default_rng(0)
    cut, bins = config.sequences, config.signal.bins
    size = config.training.batch_size
    return [
        Batch(
            random.random((size, cut.frames, bins), np.float32),
            random.random((size, cut.target_frames, bins), np.float32),
        )
        for _ in range(count)
    ]


# Training.


@pytest.mark.parametrize("config", [GRU, pytest.param(DWS, marks=pytest.mark.thorough)])
def test_a_training_in_a_call_is_its_steps(config):
    """Bit for bit; and no more of an endless training set than the steps that the config has."""
    state, told = init_state(config), []
    step, _ = compile_train_step(config, state)
    for batch in batches(3, config):
        state, metrics = step(state, batch)
    trained = train(config, batches(3, config), on_step=lambda number, values: told.append((number, values["loss"])))
    for (path, found), expected in zip(
        *(tree_with_paths(variables) for variables in (trained.variables, state.variables)), strict=True
    ):
        np.testing.assert_array_equal(found, expected[1], err_msg=str(path))
    assert [number for number, _ in told] == [1, 2, 3]
    assert told[-1][1] == float(metrics["loss"])


def tree_with_paths(tree):
    import jax

    return jax.tree_util.tree_leaves_with_path(tree)


def test_the_level_of_a_training_is_that_of_its_samples(monkeypatch):
    """By `Survey` of the same samples, 1e-6; a Separator has it."""
    monkeypatch.setattr("madsep_jax.train.whole.compile_train_step", lambda *_: (None, 0))
    monkeypatch.setattr("madsep_jax.train.whole.fit", lambda state, _, batches, __: [*batches] and state)
    samples = 7 * SIGNAL.hop_length + SIGNAL.window_length
    song_NC = np.random.default_rng(0).normal(scale=0.1, size=(3 * 2 * samples, 2)).astype(np.float32)
    cut_KBNC = song_NC.reshape(3, 2, samples, 2)
    whole = [WaveformBatch(mix_BNC, mix_BNC, np.full((2, 2), [0, 8], np.int32)) for mix_BNC in cut_KBNC]
    trained = train(GRU, whole)
    assert trained.level == pytest.approx(Survey([song_NC]).level, rel=1e-6)
    assert Separator(*trained).training_level == trained.level
    assert train(GRU, [Batch(np.zeros((2, 8, 81)), np.zeros((2, 4, 81)))]).level is None


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([], "batches: found none"),
        (
            [Batch(np.zeros((2, 9, 81)), np.zeros((2, 4, 81)))],
            r"found magnitudes of shapes \[\(2, 9, 81\), \(2, 4, 81\)\], expected \[\(2, 8, 81\), \(2, 4, 81\)\]",
        ),
    ],
)
def test_batches_that_do_not_fit(given, text):
    with pytest.raises(ValueError, match=text):
        train(GRU, given)


def test_a_batch_of_another_size_is_named():
    small = Batch(*(array[:1] for array in batches(1)[0]))
    with pytest.raises(ValueError, match=r"found one of shapes \[\(1, 8, 81\), \(1, 4, 81\)\], expected \[\(2, 8"):
        train(GRU, [*batches(1), small])


# Comparing.


def song(name, seconds=3.5, seed=0):
    """Its first half-second of voice is silent."""
    random, samples = np.random.default_rng(seed), int(seconds * RATE)
    voice_NC, other_NC = random.uniform(-0.4, 0.4, (2, samples, 2)).astype(np.float32)
    voice_NC[: RATE + 1] = 0
    return Song(name, voice_NC + other_NC, voice_NC, RATE)


@pytest.fixture(scope="module")
def rows():
    mad = Separator(GRU, open_masks(GRU))
    systems = {"mad": mad, "mixture": lambda mixture_NC, rate: (mixture_NC, mixture_NC)}
    told = []
    found = compare(systems, (song(name, seed=seed) for seed, name in enumerate(("a", "b"))), on_row=told.append)
    assert [(row["song"], row["system"]) for row in told] == [(s, m) for s in ("a", "b") for m in ("mad", "mixture")]
    return mad, found


def test_scores_are_those_of_the_ablation(rows):
    """To 1e-5 dB, to which its files are rounded."""
    from experiments.scoring.aggregate import song_score
    from experiments.scoring.estimators import mixture_as_voice
    from experiments.scoring.score_song import score_song

    mad, found = rows
    assert [(row["system"], row["song"]) for row in found] == [(m, s) for m in ("mad", "mixture") for s in ("a", "b")]
    for row in found:
        one = song(row["song"], seed=("a", "b").index(row["song"]))
        estimates = mad.separate(one.mixture_NC, RATE) if row["system"] == "mad" else mixture_as_voice(one.mixture_NC)
        scores = score_song(
            row["song"],
            one.mixture_NC,
            one.voice_NC,
            estimates.voice_NC,
            RATE,
            accompaniment_estimate_NC=estimates.accompaniment_NC,
        )
        for target, ours in (("vocals", "voice"), ("accompaniment", "accompaniment")):
            for metric in ("SDR", "ISR", "SIR", "SAR"):
                expected = song_score(scores, target, metric)
                assert row[f"{ours}_{metric.lower()}_db"] == pytest.approx(expected, abs=2e-5, nan_ok=True)
        assert (row["windows"], row["seconds"]) == (scores.counts("vocals").valid, 3.5)
        assert row["windows"] == 2
        assert math.isfinite(row["voice_sdr_db"])


def test_rows_are_a_table(rows):
    _, found = rows
    kinds = [{name: type(value) for name, value in row.items()} for row in found]
    assert kinds[1:] == kinds[:-1]
    assert set(kinds[0].values()) == {str, int, float}
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(found)
    assert list(frame.columns) == list(found[0])
    table = frame.groupby("system").median(numeric_only=True)
    expected = np.median([row["voice_sdr_db"] for row in found if row["system"] == "mad"])
    assert table.loc["mad", "voice_sdr_db"] == pytest.approx(expected)
    polars = pytest.importorskip("polars")
    assert polars.DataFrame(found)["voice_sdr_db"].to_list() == frame["voice_sdr_db"].to_list()


def test_songs_that_cannot_be_compared():
    one = song("a")
    with pytest.raises(ValueError, match=r"^a: found mixture \(28000, 2\) and voice \(5, 2\), expected one shape"):
        compare(
            {"mixture": lambda mixture_NC, rate: (mixture_NC, mixture_NC)},
            [Song("a", one.mixture_NC, one.voice_NC[:5], RATE)],
        )
    assert compare({}, [one]) == []


# Examples.

EXAMPLES = [
    "madsep_jax.comparison",
    "madsep_jax.separator.separator",
    "madsep_jax.separator.stems",
    "madsep_jax.train.whole",
]


def examples():
    for name in EXAMPLES:
        for example in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name)):
            if example.examples:
                yield pytest.param(example, id=example.name.removeprefix("madsep_jax."))


@pytest.mark.parametrize("example", list(examples()))
def test_examples_of_docstrings(example, tmp_path, monkeypatch):
    """In a folder with a song and a row by the names that they have."""
    soundfile = pytest.importorskip("soundfile")
    monkeypatch.chdir(tmp_path)
    soundfile.write("song.wav", np.random.default_rng(0).uniform(-0.5, 0.5, (8000, 2)), 8000)
    save_model(tmp_path / "runs" / "quick-embedded" / "rows" / "mad-seed0" / "checkpoint", mask=0.5, noise=0.1)
    said = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append)
    assert not said, "".join(said)


def test_there_are_examples():
    names = {parameter.id for parameter in examples()}
    assert {"comparison.compare", "separator.stems.Stems.write", "train.whole.train"} < names
    methods = {"", ".separate", ".separate_file", ".stream", ".latency"}
    assert {f"separator.separator.Separator{method}" for method in methods} < names

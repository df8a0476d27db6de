"""From many songs to one number and its interval; all by hand."""

import math

import numpy as np
import pytest

from experiments.scoring.aggregate import aggregate, interval
from experiments.scoring.protocols import METRICS
from experiments.scoring.song_scores import SongScores

NAN = math.nan


def scores_of(track, vocals, protocol="sisec18", **more):
    """SongScores whose four metrics are the same numbers; the accompaniment's are 0."""
    targets = {
        "vocals": {metric: np.array(vocals, float) for metric in METRICS},
        "accompaniment": {metric: np.zeros(len(vocals)) for metric in METRICS},
    }
    return SongScores(track, 1.0, 1.0, targets, protocol=protocol, **more)


SONGS = {"a": [1.0, 9.0, 2.0], "b": [NAN, 4.0, 7.0, 8.0], "c": [3.0]}


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("sisec18", 3.0),  # medians 2, 7, 3
        ("paper", 4.0),  # 1 2 3 4 7 8 9
        ("usdr", 4.0),  # mean of 2, 7, 3
        ("si-sdr", 4.0),
    ],
)
def test_score_is_the_protocols(protocol, expected):
    found = aggregate([scores_of(track, values, protocol) for track, values in SONGS.items()])
    vocals = found.targets["vocals"]
    assert (found.protocol, found.engine, found.songs) == (protocol, "museval", 3)
    assert vocals.score_db["SDR"] == expected
    assert (vocals.median_db["SDR"], vocals.all_windows_db["SDR"], vocals.mean_db["SDR"]) == (3.0, 4.0, 4.0)
    assert (vocals.windows, vocals.valid_windows, vocals.nan_windows, vocals.silent_windows) == (8, 7, 1, 0)
    low, high = vocals.interval_db["SDR"]
    assert 1.0 <= low < expected < high <= 9.0


def test_silent_windows_are_counted_apart_from_perfect_ones():
    found = aggregate([scores_of("a", [NAN, NAN, 1.0], silent_windows=1)]).targets["vocals"]
    assert (found.silent_windows, found.nan_windows) == (1, 2)


def test_windows_of_old_files_without_any_score_are_silent():
    """museval's own files do not count them."""
    targets = {target: {metric: np.array([NAN, 1.0]) for metric in METRICS} for target in ("vocals", "accompaniment")}
    assert SongScores("a", 1.0, 1.0, targets).silent_windows == 1


def test_both_engines_are_named():
    found = aggregate([scores_of("a", [1.0], engine="jax"), scores_of("b", [1.0], engine="museval")])
    assert found.engine == "jax and museval"


def test_protocols_are_not_mixed():
    with pytest.raises(ValueError, match="different protocols"):
        aggregate([scores_of("a", [1.0]), scores_of("b", [1.0], "paper")])
    with pytest.raises(ValueError, match="protocol 'sisec19'"):
        scores_of("a", [1.0], "sisec19")


def test_interval_is_the_same_again_and_narrower_with_more_songs():
    random = np.random.default_rng(0)
    songs = list(random.normal(5, 2, (400, 3)))
    few, many = interval(songs[:25], "mean of songs"), interval(songs, "mean of songs")
    assert interval(songs, "mean of songs") == many
    assert many[1] - many[0] < 0.5 * (few[1] - few[0])
    # the mean of 400 songs' medians has about this standard error
    error = np.std(np.median(songs, axis=1)) / np.sqrt(400)
    np.testing.assert_allclose(many[1] - many[0], 2 * 1.96 * error, rtol=0.1)


def test_interval_of_one_value_and_of_none():
    for summary in ("median of medians", "median of all windows", "mean of songs"):
        assert interval([np.array([2.5])] * 4, summary) == (2.5, 2.5)
        assert np.isnan(interval([np.array([NAN])], summary)).all()

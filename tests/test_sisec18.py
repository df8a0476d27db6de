"""SiSEC 2018's aggregate, by hand."""

import dataclasses
import json
import math

import pytest
from noise_songs import scores_of

from experiments.scoring.aggregate import aggregate


def test_sisec18_by_hand():
    nan = math.nan
    songs = [
        scores_of("a", [1.0, 9.0, 2.0], [10.0, 10.0, 13.0]),  # medians 2, 10
        scores_of("b", [nan, 4.0, 7.0], [nan, 1.0, 2.0]),  # 5.5, 1.5
        scores_of("c", [3.0], [4.0]),  # 3, 4
        scores_of("d", [nan, nan], [nan, nan]),  # left out
    ]
    found = aggregate(songs)
    assert (found.protocol, found.songs, found.window_s, found.hop_s) == ("sisec18", 4, 1.0, 1.0)
    vocals, accompaniment = found.targets["vocals"], found.targets["accompaniment"]
    assert vocals.median_db == {"SDR": 3.0, "ISR": 4.0, "SIR": 5.0, "SAR": 6.0}
    assert accompaniment.median_db == {"SDR": 4.0, "ISR": 5.0, "SIR": 6.0, "SAR": 7.0}
    assert (vocals.scored_songs, vocals.windows, vocals.valid_windows, vocals.nan_windows) == (3, 9, 6, 3)
    assert json.loads(json.dumps(dataclasses.asdict(found)))["targets"]["vocals"]["median_db"]["SDR"] == 3.0


def test_sisec18_without_any_valid_window():
    [vocals, _] = aggregate([scores_of("a", [math.nan], [math.nan])]).targets.values()
    assert all(math.isnan(median) for median in vocals.median_db.values())
    assert vocals.scored_songs == 0


def test_sisec18_refuses_what_cannot_be_aggregated():
    one = scores_of("a", [1.0], [1.0])
    with pytest.raises(ValueError, match="no songs"):
        aggregate([])
    with pytest.raises(ValueError, match="scored twice"):
        aggregate([one, one])
    with pytest.raises(ValueError, match="different"):
        aggregate([one, scores_of("b", [1.0], [1.0], hop_s=0.5)])

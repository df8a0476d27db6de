"""The ablation's pictures. Oracles: the boxes that Matplotlib draws texts and points in; NumPy's mean and deviation."""

import itertools

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from experiments.rows.pictures import colour_of, quality_pictures
from experiments.rows.row import RowResult

DWS = [f"dws-{layers}-{channels}" for layers in (1, 3, 5, 7, 9) for channels in (16, 32, 64, 128, 256)]
SYSTEMS = ["mad", "dws-3-16-res", "dae", "skip-filtering", "dilated-gru", "mad-twinnet", "mad-ris-s", "mad-ris-l"]


def result(system, seed, sdr_db, size=None):
    scores = {"targets": {"vocals": {"median_db": {"SDR": sdr_db}}}}
    costs = {"total_parameters": size, "gflop_per_audio_second": size and size / 1e6, "real_time_factor": 0.003}
    return RowResult(system=system, seed=seed, scores=scores, **(costs if size else {}))


def rows_of(count, seeds):
    random = np.random.default_rng(0)
    names = [*SYSTEMS, *DWS, *(f"dws-2-{channels}" for channels in range(8, 15))][:count]
    sizes, means = np.exp(random.uniform(12, 14, count)), random.normal(3.5, 0.5, count)
    references = [result("mixture", None, -5.9), result("ideal ratio mask", None, 8.6)]
    return references + [
        result(name, seed, float(mean + random.normal(0, 0.2) * (seeds > 1)), int(size))
        for name, size, mean in zip(names, sizes, means, strict=True)
        for seed in range(seeds)
    ]


def shared(a, b):
    return max(min(a.x1, b.x1) - max(a.x0, b.x0), 0) * max(min(a.y1, b.y1) - max(a.y0, b.y0), 0)


@pytest.mark.parametrize(("count", "seeds"), [(1, 1), (3, 3), (14, 3), (40, 1)])
def test_names_stand_at_their_points_and_cover_nothing(count, seeds):
    rows = rows_of(count, seeds)
    (axes,) = quality_pictures(rows)["sdr_against_parameters.png"]().axes
    names = {text.get_text(): text.get_window_extent() for text in axes.texts if text.get_text() not in NOTES}
    assert set(names) == {row.system for row in rows if row.seed is not None}
    frame, pixels = axes.get_window_extent(), axes.transData.transform
    points = {tuple(pixels(one.get_offsets()[0])) for one in axes.collections if one.get_label() in names}
    assert len(points) == count
    for (_, a), (_, b) in itertools.combinations(names.items(), 2):
        assert shared(a, b) == 0
    for box in names.values():
        assert shared(box, frame) == pytest.approx(box.width * box.height)
        assert not any(box.x0 < x < box.x1 and box.y0 < y < box.y1 for x, y in points)


NOTES = ("↑ ideal ratio mask 8.60", "↓ mixture \N{MINUS SIGN}5.90\n")


def test_the_axes_are_those_of_the_systems_and_the_others_notes():
    (axes,) = quality_pictures(rows_of(3, 1))["sdr_against_gflop.png"]().axes
    low, high = axes.get_ylim()
    assert 2 < low < high < 5
    assert set(NOTES) < {text.get_text() for text in axes.texts}
    near = [*rows_of(3, 1), result("mixture", None, 3.5)]
    (axes,) = quality_pictures(near)["sdr_against_gflop.png"]().axes
    assert "mixture 3.50" in {text.get_text() for text in axes.texts}


def test_seeds_are_dots_around_their_mean_and_deviation():
    sdr_db = [3.0, 3.2, 4.0]
    (axes,) = quality_pictures([result("mad", seed, db, 9) for seed, db in enumerate(sdr_db)])[PARAMETERS]().axes
    dots = [line for line in axes.lines if len(line.get_ydata()) == 3]
    assert [list(line.get_ydata()) for line in dots] == [sdr_db]
    ((bar,),) = [one.get_segments() for one in axes.collections if hasattr(one, "get_segments")]
    mean, deviation = np.mean(sdr_db), np.std(sdr_db, ddof=1)
    assert bar[:, 1] == pytest.approx([mean - deviation, mean + deviation])
    assert "over 3 seeds" in axes.get_title(loc="left")
    (axes,) = quality_pictures([result("mad", 0, 3.0, 9)])[PARAMETERS]().axes
    assert axes.get_title(loc="left") == "Voice SDR (dB)"


PARAMETERS = "sdr_against_parameters.png"


def test_families_have_colours_of_their_own():
    assert len({colour_of(name) for name in ("mad", "dws-3-16", "dae", "skip-filtering", "dilated-gru", "?")}) == 6
    assert colour_of("mad") == colour_of("mad-twinnet") == colour_of("mad-mingru")


def test_no_picture_without_models_or_costs():
    assert quality_pictures([result("mixture", None, 3.0)]) == {}
    scores = result("mad", 0, 3.0).scores
    pictures = quality_pictures([RowResult(system="mad", seed=0, scores=scores, total_parameters=9)])
    assert pictures["sdr_against_real_time_factor.png"]() is None

"""Differences of two systems whose songs and trainings are drawn from known effects: how often the interval has the
truth in it, and how often equal systems are called different.

2,000 cases a setting, the same in every run. The share that is found of a probability of 0.95 or 0.05 has a standard
deviation of 0.005, so that one of exactly 5 % is found above 5 % in half of all draws; hence `NOISE`, twice that.
"""

import numpy as np
import pytest

pytest.importorskip("scipy")

from experiments.scoring.answer import compare_systems
from experiments.scoring.differences import difference

pytestmark = pytest.mark.slow

CASES = 2000
NOISE = 0.01

#: Standard deviations in dB: of what a song does to the difference of two systems, of trainings, and of the rest.
EFFECTS = {
    "all": (0.6, 0.3, 0.5),
    "songs": (1.0, 0.1, 0.5),
    "seeds": (0.2, 0.5, 0.2),
    "little rest": (0.4, 0.3, 0.2),
    "equal seeds": (0.6, 0.0, 0.5),
}
NOTHING = (0.0, 0.0, 0.5)
DRAWS = {
    "normal": lambda random, *shape: random.normal(size=shape),
    "skewed": lambda random, *shape: random.exponential(size=shape) - 1,
    "long tails": lambda random, *shape: random.standard_t(4, shape) / np.sqrt(2),
}


def drawn(random, songs, seeds, effects, shape="normal", systems=2):
    """Scores (E, S) in dB of systems that are equal but for what is drawn; of single trainings for what songs draw."""
    of_song, of_seed, of_rest = effects
    draw = DRAWS[shape]
    song_S = 2 * draw(random, 1, songs)
    return [
        song_S
        + of_song / np.sqrt(2) * draw(random, 1, songs)
        + (of_seed * draw(random, of, 1) if of > 1 else 0)
        + of_rest * draw(random, of, songs)
        for of in (seeds if isinstance(seeds, tuple) else (seeds,) * systems)
    ]


def found(a_ES, b_ES):
    one = difference(a_ES, b_ES)
    low, high = one.interval_db
    return low, high, (low > 0 or high < 0) and one.p_value < 0.05, one.visible_db


def simulated(songs, seeds, effects, shape="normal"):
    """Of equal systems: the shares of intervals with the truth, 0, in them, and of those that are called different."""
    random = np.random.default_rng(songs)
    covered = different = 0
    for _ in range(CASES):
        low, high, is_different, _ = found(*drawn(random, songs, seeds, effects, shape))
        covered += low <= 0 <= high
        different += is_different
    print(f"{songs} songs, seeds {seeds}, {effects}, {shape}: {covered / CASES:.4f}, {different / CASES:.4f}")
    return covered / CASES, different / CASES


@pytest.mark.parametrize("effects", EFFECTS)
@pytest.mark.parametrize("seeds", [3, 5, (5, 3)])
@pytest.mark.parametrize("songs", [16, 50])
def test_songs_and_seeds(songs, seeds, effects):
    covered, different = simulated(songs, seeds, EFFECTS[effects])
    assert 0.93 <= covered <= 0.97
    assert different <= 0.05 + NOISE


@pytest.mark.parametrize("in_common", [0.0, 0.2])
@pytest.mark.parametrize("seeds", [3, 5])
def test_trainings_of_one_seed_have_much_in_common(seeds, in_common):
    """Most of the rest is the same in both systems, and some of what a seed does: intervals may only be too wide."""
    random = np.random.default_rng(seeds)
    covered = different = 0
    for _ in range(CASES):
        a_ES, b_ES = drawn(random, 16, seeds, (0.05, 0.08, 0.14))
        both_ES = in_common * random.normal(size=(seeds, 1)) + 0.22 * random.normal(size=(seeds, 16))
        low, high, is_different, _ = found(a_ES + both_ES, b_ES + both_ES)
        covered += low <= 0 <= high
        different += is_different
    print(f"seeds {seeds}, {in_common} dB in common: {covered / CASES:.4f}, {different / CASES:.4f}")
    assert covered / CASES >= 0.93
    assert different / CASES <= 0.05 + NOISE


@pytest.mark.parametrize("shape", ["skewed", "long tails"])
@pytest.mark.parametrize(("songs", "seeds"), [(4, 1), (16, 1), (16, 3), (50, 5)])
def test_effects_that_are_not_normal(songs, seeds, shape):
    covered, different = simulated(songs, seeds, EFFECTS["all"], shape)
    assert 0.93 <= covered <= 0.97
    assert different <= 0.05 + NOISE


@pytest.mark.parametrize("songs", [4, 8, 16, 50])
def test_single_trainings(songs):
    """The truth is then that of these trainings."""
    covered, different = simulated(songs, 1, EFFECTS["all"])
    assert 0.93 <= covered <= 0.97
    assert different <= 0.05 + NOISE


@pytest.mark.parametrize(("songs", "seeds"), [(4, 2), (4, 3), (4, 5), (8, 3), (8, 5), (16, 2), (50, 2)])
@pytest.mark.parametrize("effects", EFFECTS)
def test_few_songs_or_two_seeds(songs, seeds, effects):
    """Too few for more: up to 98.5 % have the truth in them, and of two seeds 6 % of equal systems seem different."""
    covered, different = simulated(songs, seeds, EFFECTS[effects])
    assert 0.93 <= covered <= 0.985
    assert different <= 0.06 + NOISE


@pytest.mark.parametrize(("songs", "seeds"), [(4, 3), (16, 3), (50, 5)])
def test_neither_songs_nor_seeds_do_anything(songs, seeds):
    """The seeds' part cannot be less than nothing, so that the interval is too wide rather than too narrow."""
    covered, different = simulated(songs, seeds, NOTHING)
    assert 0.95 <= covered <= 0.99
    assert different <= 0.05


@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_corrected_for_all_pairs(seeds):
    """Among five equal systems one is called different in at most 5 % of cases."""
    random = np.random.default_rng(seeds)
    cases = [drawn(random, 16, seeds, EFFECTS["all"], systems=5) for _ in range(CASES // 2)]
    different = 0
    for case in cases:
        scores = {f"system {n}": [dict(enumerate(song_S)) for song_S in of_system] for n, of_system in enumerate(case)}
        different += any(one.found for one in compare_systems({("vocals", "SDR"): scores}).differences)
    print(f"{seeds} seeds, any of ten pairs: {different / len(cases):.4f}")
    assert different / len(cases) <= 0.05 + NOISE * np.sqrt(2)


@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_visible_differences_are_seen(seeds):
    """In 80 % of cases, to within what the estimate of a standard deviation from few seeds allows."""
    random = np.random.default_rng(seeds)
    cases = [drawn(random, 16, seeds, EFFECTS["all"]) for _ in range(CASES)]
    visible = np.median([found(*case)[3] for case in cases])
    seen = np.mean([found(a + visible, b)[2] for a, b in cases])
    print(f"{seeds} seeds: {visible:.3f} dB is found in {seen:.4f}")
    assert 0.7 <= seen <= 0.9


def test_what_a_wrong_analysis_would_find():
    """The settings tell right from wrong: unpaired, 99.9 % are covered; with the seeds ignored, far fewer than 95 %."""
    from scipy import stats

    random = np.random.default_rng(0)
    cases = [drawn(random, 16, 3, EFFECTS["all"]) for _ in range(CASES)]
    unpaired = np.mean([stats.ttest_ind(a.mean(0), b.mean(0)).pvalue > 0.05 for a, b in cases])
    no_seeds = np.mean([stats.ttest_rel(a.mean(0), b.mean(0)).pvalue > 0.05 for a, b in cases])
    print(f"unpaired {unpaired:.4f}, seeds ignored {no_seeds:.4f}")
    assert unpaired > 0.98
    assert no_seeds < 0.90

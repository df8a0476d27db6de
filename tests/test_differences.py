"""Differences of two systems: SciPy where it computes the same, else the formulas as loops; what must not matter."""

import math

import numpy as np
import pytest

stats = pytest.importorskip("scipy.stats")

from experiments.scoring.differences import difference, holm


def scores(trainings, songs, seed, shift=0.0):
    """Of songs, trainings and a rest, in dB."""
    random = np.random.default_rng(seed)
    of_training, of_song = random.normal(0, 0.3, (trainings, 1)), random.normal(4, 1, (1, songs))
    return shift + of_training + of_song + random.normal(0, 0.5, (trainings, songs))


def test_single_trainings_are_scipys_paired_t_test():
    for songs in (2, 3, 16, 50):
        a, b = scores(1, songs, 1, 0.4), scores(1, songs, 2)
        found = difference(a, b)
        expected = stats.ttest_rel(a[0], b[0])
        assert found.p_value == pytest.approx(expected.pvalue, rel=1e-10)
        assert found.mean_db == pytest.approx(np.mean(a - b), rel=1e-12)
        assert (found.songs, found.seeds, found.better_songs) == (songs, (1, 1), int((a > b).sum()))


@pytest.mark.parametrize(("of_a", "of_b"), [(3, 3), (2, 5)])
def test_where_songs_do_not_matter_it_is_scipys_welch_test(of_a, of_b):
    """Every song moves both systems alike; the trainings alone differ."""
    a, b = (np.random.default_rng(of).normal(0, 1 / of, (of, 1)) + np.arange(6.0) for of in (of_a, of_b + 10))
    b = b[:of_b]
    expected = stats.ttest_ind(a[:, 0], b[:, 0], equal_var=False)
    assert difference(a, b).p_value == pytest.approx(expected.pvalue, rel=1e-9)


@pytest.mark.parametrize(("of_a", "of_b", "songs"), [(3, 3, 16), (5, 2, 4), (2, 2, 7), (3, 1, 9)])
def test_several_trainings_by_hand(of_a, of_b, songs):
    """The variance's parts as loops; with a single training of one system only the songs'."""
    a, b = scores(of_a, songs, 3, 0.2), scores(of_b, songs, 4)
    d = [sum(a[:, s]) / of_a - sum(b[:, s]) / of_b for s in range(songs)]
    mean = sum(d) / songs
    variance = sum((one - mean) ** 2 for one in d) / (songs - 1) / songs
    below = variance**2 / (songs - 1)
    for y in (a, b) if min(of_a, of_b) > 1 else ():
        of, grand = len(y), y.mean()
        of_means = sum((y[e].mean() - grand) ** 2 for e in range(of)) / (of - 1) / of
        square = sum((y[e, s] - y[e].mean() - y[:, s].mean() + grand) ** 2 for e in range(of) for s in range(songs)) / (
            (of - 1) * (songs - 1)
        )
        own = of_means - square / of / songs
        variance, below = (variance + own, below + of_means**2 / (of - 1)) if own > 0 else (variance, below)
    expected = 2 * stats.t.sf(abs(mean) / math.sqrt(variance), variance**2 / below)
    found = difference(a, b)
    assert found.p_value == pytest.approx(expected, rel=1e-10)
    assert found.mean_db == pytest.approx(mean, rel=1e-10)


def test_interval_is_scipys_bootstrap_widened_for_few_songs():
    """To 4 % of its width, both being drawn; the scores are skewed, and so is the interval."""
    song = np.random.default_rng(5).exponential(1, 12)
    drawn = stats.bootstrap((song,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(6))
    widening = stats.t.ppf(0.975, 11) / stats.norm.ppf(0.975) * math.sqrt(12 / 11)
    mean = song.mean()
    expected = [mean + (end - mean) * widening for end in drawn.confidence_interval]
    low, high = difference(song[None] + 3, np.full((1, 12), 3.0)).interval_db
    np.testing.assert_allclose([low, high], expected, atol=0.04 * (expected[1] - expected[0]))
    assert high - mean > 1.1 * (mean - low)


@pytest.mark.parametrize("tests", [1, 3])
@pytest.mark.parametrize("songs", [5, 16, 50])
def test_visible_is_found_in_four_of_five_cases(songs, tests):
    """By SciPy's power of a t-test, at the level that the first of several must reach; to 1 % from 16 songs on."""
    a, b = scores(1, songs, 7), scores(1, songs, 8)
    deviation = np.std(a - b, ddof=1) / math.sqrt(songs)
    visible = difference(a, b, tests).visible_db
    threshold = stats.t.ppf(1 - 0.025 / tests, songs - 1)
    tolerance = 0.01 if songs > 5 else 0.05
    assert stats.nct.sf(threshold, songs - 1, visible / deviation) == pytest.approx(0.8, abs=tolerance)


def test_what_does_not_matter():
    a, b = scores(3, 16, 9), scores(4, 16, 10)
    found = difference(a, b)
    width = found.interval_db[1] - found.interval_db[0]
    # songs that are easier for both
    easier = np.random.default_rng(11).normal(0, 5, 16)
    same = difference(a + easier, b + easier)
    np.testing.assert_allclose([same.mean_db, *same.interval_db], [found.mean_db, *found.interval_db], atol=1e-9)
    assert same.p_value == pytest.approx(found.p_value, rel=1e-9)
    # which trainings and songs come first, and which system: drawn otherwise, the interval is the same to 5 %
    order = np.random.default_rng(12).permutation(16)
    others = [difference(a[::-1], b), difference(a[:, order], b[:, order])]
    other = difference(b, a)
    ends = [one.interval_db for one in others] + [(-other.interval_db[1], -other.interval_db[0])]
    np.testing.assert_allclose(ends, [found.interval_db] * 3, atol=0.05 * width)
    for one in (*others, other):
        assert one.p_value == pytest.approx(found.p_value, rel=1e-9)
        assert one.visible_db == pytest.approx(found.visible_db, rel=1e-9)
    assert other.mean_db == pytest.approx(-found.mean_db, rel=1e-12)
    # a shift and a factor go through
    moved = difference(3 * (a + 1), 3 * b)
    np.testing.assert_allclose(
        [moved.mean_db, *moved.interval_db, moved.visible_db],
        [3 * (found.mean_db + 1), *(3 * (end + 1) for end in found.interval_db), 3 * found.visible_db],
        atol=1e-9,
    )
    assert difference(a, b) == found


def test_songs_without_a_score_are_left_out_of_all():
    a, b = scores(3, 9, 13), scores(2, 9, 14)
    keep = [0, 1, 3, 4, 6, 8]
    whole = difference(a[:, keep], b[:, keep])
    a[1, 2], a[0, 5], b[1, 5], b[0, 7] = [math.nan] * 4
    assert difference(a, b) == whole
    assert whole.songs == 6
    a[:, 1:] = math.nan
    assert difference(a, b) is None
    assert difference(a[:, :0], b[:, :0]) is None


def test_equal_scores():
    a = scores(3, 5, 15)
    same = difference(a[:1], a[:1])
    assert (same.mean_db, same.interval_db, same.p_value, same.visible_db) == (0, (0, 0), 1, 0)
    constant = difference(np.array([[1.5, 2.5, 3.5]]), np.array([[1.0, 2.0, 3.0]]))
    assert (constant.mean_db, constant.interval_db, constant.p_value) == (0.5, (0.5, 0.5), 0)
    one_training = difference(a, a)
    assert (one_training.mean_db, one_training.p_value) == (0, 1)


def rejected(p_values, level):
    """Holm's procedure as he gives it: from the smallest on, until one is too large."""
    order, taken = sorted(range(len(p_values)), key=lambda number: p_values[number]), set()
    for step, number in enumerate(order):
        if p_values[number] > level / (len(p_values) - step):
            break
        taken.add(number)
    return taken


def test_corrected_p_values():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, None, 0.02, 0.5]) == [1, None, pytest.approx(0.06), 1]
    assert holm([None]) == [None]
    random = np.random.default_rng(16)
    for _ in range(200):
        p_values = list(random.uniform(0, 0.1, random.integers(1, 9)))
        corrected = holm(p_values)
        for level in (0.01, 0.05, 0.2):
            assert {number for number, p in enumerate(corrected) if p <= level} == rejected(p_values, level)


def test_few_trainings_count_as_no_fewer_than_they_are():
    """Oracle: what would be visible by Student's t of 2 degrees of freedom, with all of the trainings' spread."""
    random = np.random.default_rng(0)
    for _ in range(200):
        both_ES = 0.3 * random.normal(size=(3, 16))
        a_ES, b_ES = (both_ES + 0.01 * random.normal(size=(3, 16)) for _ in range(2))
        variances = [one_ES.mean(1).var(ddof=1) / 3 for one_ES in (a_ES, b_ES)]
        deviation = np.sqrt((a_ES - b_ES).mean(0).var(ddof=1) / 16 + sum(variances))
        most_db = deviation * (stats.t.ppf(0.975, 2) + stats.t.ppf(0.8, 2))
        assert difference(a_ES, b_ES).visible_db <= most_db * (1 + 1e-9)

"""Whether a more diagonal map separates better: the maps of several trained systems beside their scores."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.cli.results import Column, Table
from experiments.coupling_maps.report import DISTANCES_HZ, place_name

#: The distance from the diagonal, Hz, that the answer is about: about that to which a window spreads a tone.
ANSWER_HZ = 50.0

_LEVEL = 0.05
#: Orders that are drawn where there are too many to try them all, which is from eight systems on.
_ORDERS = 9999


@dataclasses.dataclass(frozen=True)
class Relation:
    """How two numbers of the same systems go together."""

    systems: int
    rank_correlation: float | None
    """Spearman's; None where all values of a number are alike, or there are fewer than three."""
    p_value: float | None = None
    """The share of all orders whose correlation is as strong."""
    visible: float | None = None
    """The weakest correlation, of either sign, that would be found; None where not even the strongest is."""

    @property
    def found(self) -> bool:
        """Whether chance gives one as strong in less than a twentieth of cases."""
        return self.p_value is not None and self.p_value <= _LEVEL


def relation(diagonality: Sequence[float], sdr_db: Sequence[float]) -> Relation:
    """Return how the maps' shares near the diagonal and the scores of the same systems go together.

    The p-value is by permutation, as Student's t, from which it often comes, is for many systems.
    """
    from scipy.stats import permutation_test, rankdata, spearmanr

    count = len(diagonality)
    if count < 3 or len(set(diagonality)) == 1 or len(set(sdr_db)) == 1:
        return Relation(count, None)
    rank_S, sdr_rank_S = (ranks - ranks.mean() for ranks in map(rankdata, (diagonality, sdr_db)))
    scale = np.linalg.norm(rank_S) * np.linalg.norm(sdr_rank_S)

    def strength(rank_OS: np.ndarray, axis: int = -1) -> np.ndarray:
        """Return |correlation| for each order of the ranks."""
        return np.abs(np.sum(rank_OS * sdr_rank_S, axis=axis)) / scale

    orders = {"permutation_type": "pairings", "alternative": "greater", "n_resamples": _ORDERS, "rng": 0}
    test = permutation_test((rank_S,), strength, vectorized=True, **orders)
    strengths = np.sort(test.null_distribution).round(9)
    weakest = np.unique(strengths)
    visible = weakest[1 - np.searchsorted(strengths, weakest) / len(strengths) <= _LEVEL]
    rank_correlation = float(spearmanr(diagonality, sdr_db).statistic)
    return Relation(count, rank_correlation, float(test.pvalue), float(visible[0]) if len(visible) else None)


def line_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the comparison takes of a couplings.json."""
    names = ("name", "system", "seed", "sdr_db", "form")
    shares = [
        {key: share[key] for key in ("within_hz", "within_bins", "weighted_mapping", "weighted_uniform")}
        for share in about["diagonal_shares"]
    ]
    frames = about["protocol"]["sequence_frames"]
    return {**{name: about[name] for name in names}, "reads_frames": frames, "left": about["l1"]["relative"]} | {
        "diagonal_shares": shares
    }


def relations(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return for each distance from the diagonal how the systems' shares go together with their SDR.

    A system is one point, the mean of its trainings; those without a score or a share are left out.
    """
    found = []
    for number, within_hz in enumerate(DISTANCES_HZ):
        points: dict[str, list[tuple[float, float]]] = {}
        for line in lines:
            share = line["diagonal_shares"][number]["weighted_mapping"]
            if share is not None and line["sdr_db"] is not None:
                points.setdefault(line["system"], []).append((share, line["sdr_db"]))
        means = [tuple(map(statistics.fmean, zip(*of_system, strict=True))) for of_system in points.values()]
        of_distance = relation([share for share, _ in means], [sdr_db for _, sdr_db in means])
        place = f"within ±{within_hz:g} Hz of the diagonal" if within_hz else "on the diagonal"
        about = {"within_hz": within_hz, "place": place, "says": _says(of_distance, place)}
        found.append(about | dataclasses.asdict(of_distance))
    return found


def _says(found: Relation, place: str) -> str:
    if found.rank_correlation is None:
        why = "too few systems have a score" if found.systems < 3 else "shares or scores are all alike"
        return f"Energy {place} against SDR: {why} for a rank correlation ({found.systems} systems)."
    about = f"rank correlation {found.rank_correlation:+.2f} over {found.systems} systems, p = {found.p_value:.2g}"
    if found.found:
        end = f"more diagonal maps separate {'better' if found.rank_correlation > 0 else 'worse'} here"
    elif found.visible is None:
        end = "no relation found; of so few systems not even the strongest could have been told from chance"
    else:
        end = f"no relation found; one of ±{found.visible:.2f} or stronger would have been"
    return f"Energy {place} against SDR: {about}: {end}.".replace("-", "−")


def compared(abouts: Sequence[Mapping[str, Any]], top: float) -> dict[str, Any]:
    """Return what is written about several maps: a line each, and how their shares go with their scores.

    `top` is the weight to which the colours of all pictures reach.
    """
    lines = [line_of(about) for about in abouts]
    of_distances = relations(lines)
    answer = next(one["says"] for one in of_distances if one["within_hz"] == ANSWER_HZ)
    found = {"maps": lines, "top": top, "answer": answer, "relations": of_distances, "about": _about(abouts)}
    return {**found, "environment": abouts[0]["environment"]}


def _about(abouts: Sequence[Mapping[str, Any]]) -> str:
    first = abouts[0]
    fit = first["couplings"]
    why = " (fitted to what a model reads and gives, as only autoencoders are a chain of layers)"
    return (
        f"{first['protocol']['frames']} frames of {len(first['protocol']['songs'])} test songs; {first['form']} form"
        f"{why if first['form'] == 'student' else ''}, {fit['steps']} steps from {fit['initial']}. "
        "Shares are of the energy that the entries let through, the map times the mixture's level in each bin; left: "
        "the L1 error of the map, of the output's L1 norm. A map has one frame in and the same one out: what a model "
        "takes from the frames around it is among what is left. Of models that estimate both sources it is the "
        "voice's, of recurrent inference and twin networks what they give in use. SDR: of the row's own scores. A "
        "system is one point, the mean of its seeds; p by permutation. Systems differ in more than in their maps: a "
        "relation is no cause."
    )


def comparison_table(content: Mapping[str, Any]) -> Table:
    """Return the maps as a table, by what `compared` returns."""

    def share_of(number: int) -> Any:
        return lambda line: line["diagonal_shares"][number]["weighted_mapping"]

    places = [place_name(share) for share in content["maps"][0]["diagonal_shares"]]
    columns = (
        Column("system", "system", word=True),
        Column("seed", "seed", "d"),
        Column("SDR (dB)", "sdr_db", ".2f"),
        *(Column(f"{place} (%)", share_of(number), ".1f", 100) for number, place in enumerate(places)),
        Column("left (%)", "left", ".1f", 100),
        Column("reads frames", "reads_frames", "d", rank=2),
    )
    says = " ".join(one["says"] for one in content["relations"] if one["within_hz"] in (0, ANSWER_HZ))
    return Table(columns, content["maps"], f"{says}\n\n{content['about']}", lead="Energy near the diagonal:")

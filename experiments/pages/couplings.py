"""Maps of neural couplings on a page: how diagonal each is, beside the score of its system."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.pages.folder import ResultsFolder, prefix_of
from experiments.pages.tables import Cell, PageTable, number_cell


def is_one_scale(folders: Sequence[ResultsFolder]) -> bool:
    """Whether all pictures are of one comparison, whose command has drawn them in the same colours."""
    comparisons = [content for folder in folders for content in folder.maps]
    pictures = sum(len(folder.couplings) for folder in folders)
    return len(comparisons) == 1 and len(comparisons[0]["maps"]) == pictures


def maps_tables(folders: Sequence[ResultsFolder]) -> list[tuple[Mapping[str, Any], PageTable]]:
    """Return the content of each comparison, and its table."""
    found = [(folder, content) for folder in folders for content in folder.maps]
    return [
        (
            content,
            _table(f"maps-{number}", f"{prefix_of(folders, folder)}Energy near the diagonal, and scores", content),
        )
        for number, (folder, content) in enumerate(found)
    ]


def _table(name: str, title: str, content: Mapping[str, Any]) -> PageTable:
    places = [f"{one['place'].removesuffix(' of the diagonal')} (%)" for one in content["relations"]]
    columns = ["system", "seed", "SDR (dB)", *places, "left (%)", "reads frames"]
    rows = [
        [
            Cell(line["system"], line["system"]),
            number_cell(line["seed"], "d"),
            number_cell(line["sdr_db"], ".2f"),
            *(number_cell(share["weighted_mapping"], ".1f", 100) for share in line["diagonal_shares"]),
            number_cell(line["left"], ".1f", 100),
            number_cell(line["reads_frames"], "d"),
        ]
        for line in content["maps"]
    ]
    return PageTable(name, title, columns, rows)


def points_of_maps(folders: Sequence[ResultsFolder]) -> list[dict[str, Any]]:
    """Return what the plot of each comparison shows: of each system, by the number of the distance, shares and SDR."""
    return [
        {
            "name": f"{prefix_of(folders, folder)}{len(content['maps'])} maps",
            "relations": [{name: one[name] for name in ("place", "says")} for one in content["relations"]],
            "chosen": [one["says"] for one in content["relations"]].index(content["answer"]),
            "systems": _systems(content),
        }
        for folder in folders
        for content in folder.maps
    ]


def _systems(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the systems that have a score, each with its mean and its seeds by the distance's number."""
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for line in content["maps"]:
        if line["sdr_db"] is not None:
            lines.setdefault(line["system"], []).append(line)
    found = []
    for system, of_system in lines.items():
        points = {}
        for number in range(len(content["relations"])):
            shares = [(line["diagonal_shares"][number]["weighted_mapping"], line["sdr_db"]) for line in of_system]
            seeds = [(100 * share, sdr_db) for share, sdr_db in shares if share is not None]
            if seeds:
                x, y = map(statistics.fmean, zip(*seeds, strict=True))
                points[str(number)] = {"x": x, "y": y, "seeds": seeds}
        found.append({"name": system, "points": points})
    return found

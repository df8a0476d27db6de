"""One HTML file of everything: tables, the numbers of its plots, sounds, and the programs that draw and play."""

from collections.abc import Sequence
from pathlib import Path

from experiments.pages.couplings import is_one_scale, maps_tables
from experiments.pages.folder import ResultsFolder, prefix_of, read_folders
from experiments.pages.listening import data_uri, listen
from experiments.pages.numbers import numbers_of
from experiments.pages.tables import (
    made_with_table,
    score_tables,
    settings_table,
    side_by_side_table,
    systems_table,
)
from madsep_jax.host.files import write_text

#: Its name, beside results.json.
REPORT = "report.html"

#: What sounds and pictures of a page may take, characters; with Plotly (5 MB) and the rest it stays below 20 MB.
_MOST = 13_000_000


def write_page(paths: Sequence[Path], file: Path | None = None, most: int = _MOST) -> Path:
    """Write the page of one folder, or of several side by side; returns its path, by default in the first folder.

    Raises InputError where a folder has no results, or they are damaged.
    """
    file = file or paths[0] / REPORT
    write_text(file, render(read_folders(paths), most))
    return file


def render(folders: Sequence[ResultsFolder], most: int = _MOST) -> str:
    """Return the page. Sounds and their pictures have at most so many characters."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    templates = Environment(
        loader=PackageLoader("experiments", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.policies["json.dumps_kwargs"] = {}  # nothing is sorted by its name
    listening = {folder.label: listen(folder, most // len(folders)) for folder in folders}
    tables = [settings_table(folders), systems_table(folders), made_with_table(folders)]
    return templates.get_template("page.html.jinja").render(
        title=", ".join(folder.label for folder in folders),
        folders=folders,
        scores=score_tables(folders),
        side_by_side=side_by_side_table(folders),
        more_tables=[table for table in tables if table],
        listening=listening,
        without_sound=[folder.label for folder in folders if folder.scored and not listening[folder.label].players],
        data=numbers_of(folders),
        couplings=[
            (f"{prefix_of(folders, folder)}{one.title}", one.says, data_uri("image/png", one.picture.read_bytes()))
            for folder in folders
            for one in folder.couplings
        ],
        maps=maps_tables(folders),
        one_scale=is_one_scale(folders),
        cite=Path(__file__).with_name("cite.bib").read_text(encoding="utf-8"),
        plotly=get_plotlyjs(),
    )

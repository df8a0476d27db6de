"""The notebook: nothing of whoever ran it last is kept in it, and it runs from top to bottom."""

import ast
import json
import re
import time

import pytest
from sources import ROOT

NOTEBOOKS = sorted((ROOT / "experiments" / "notebooks").glob("*.ipynb"))
MOST_SECONDS = 180
#: Whole lines of IPython, and lines that it takes in the place of Python.
MAGIC = re.compile(r"^[%!].*$", re.MULTILINE)


def cells_of(path, kind):
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == kind]


def test_there_is_one():
    assert [path.name for path in NOTEBOOKS] == ["first_look.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_no_outputs_and_no_places_of_a_machine_are_kept(path):
    text = path.read_text(encoding="utf-8")
    notebook = json.loads(text)
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    for cell in notebook["cells"]:
        assert not cell["metadata"]
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    assert not re.search(r"/(home|root|tmp|Users|work|usr)/|[A-Z]:\\\\", text)
    assert len(text) < 20_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_its_code_is_python(path):
    for code in cells_of(path, "code"):
        ast.parse(MAGIC.sub("", code))


@pytest.mark.thorough
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    pytest.importorskip("pandas")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "0")  # as a person runs it
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    notebook, start = nbformat.read(path, as_version=4), time.monotonic()
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=MOST_SECONDS, kernel_name="python3", resources=place).execute()
    assert time.monotonic() - start < MOST_SECONDS
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    data = [output["data"] for output in shown if "data" in output]
    assert not [output for output in shown if output.get("name") == "stderr"]
    assert sum("<audio" in one.get("text/html", "") for one in data) == 8
    assert sum("image/png" in one for one in data) == 4
    said = "".join(output["text"] for output in shown if output.get("name") == "stdout")
    losses = [(float(first), float(last)) for first, last in re.findall(r"loss (\S+) at .* step, (\S+) at", said)]
    assert len(losses) == 3
    assert all(last < first / 2 for first, last in losses)
    table = data[-1]["text/plain"]
    assert all(name in table for name in ("mixture", "mad", "dws-3-16", "TcnMasker"))
    assert not list(tmp_path.iterdir())

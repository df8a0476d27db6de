"""The README shows what the commands made: its tables are the files that are kept in experiments/results."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def between(name):
    (text,) = re.findall(rf"<!-- {name}: begin -->\n(.*?)<!-- {name}: end -->", README, flags=re.DOTALL)
    return text.strip()


@pytest.mark.parametrize("name", ["quick", "all"])
def test_tables_are_the_kept_results(name):
    assert between(f"{name} table") == (ROOT / "experiments" / "results" / name / "table.md").read_text().strip()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("throughput summary", "throughput/summary.md"),
        ("kept memory", "throughput-kept-memory/summary.md"),
        ("op by op", "op-by-op/table.md"),
        ("evaluation speed", "evaluation-speed/table.md"),
        ("input tables", "input-throughput/table.md"),
        ("scaling", "scaling/table.md"),
        ("dispatch", "dispatch/table.md"),
        ("training memory", "training-memory/table.md"),
    ],
)
def test_measurements_are_the_kept_results(name, file):
    assert between(name) == (ROOT / "experiments" / "results" / file).read_text().strip()


def test_the_compile_tables_are_among_the_kept_results():
    kept = (ROOT / "experiments" / "results" / "compile-time" / "table.md").read_text()
    tables = re.findall(r"^#### (.*?)\n\n((?:\|.*\n?)+)", between("compile tables"), flags=re.MULTILINE)
    assert len(tables) == 3
    for title, table in tables:
        assert f"### {title}\n\n{table.strip()}" in kept


def test_pictures_and_linked_files_exist():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    for link in links:
        assert link.startswith("https://") or (ROOT / link).exists(), link


def test_the_table_of_deviations_is_that_of_the_code():
    from madsep_jax.config.presets import deviations_table

    assert between("deviations") == deviations_table().strip()


@pytest.mark.thorough
def test_the_library_example_runs():
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 3  # one line a step

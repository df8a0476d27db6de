"""The pages show what the commands made, link what is there, and name commands and options that exist.

Oracles: the files that are kept in experiments/results, the folder itself, and the commands' own parsers.
"""

import ast
import importlib
import json
import re
import shlex
import subprocess
import sys
import tomllib

import pytest
from pages import PAGES, RESULTS, ROOT, kept_tables, marked, taken, text_of, write_table

PICTURES = sorted(path.relative_to(RESULTS).as_posix() for path in RESULTS.rglob("*.png"))


def code_blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(page), flags=re.DOTALL | re.MULTILINE)


def prose(page):
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text_of(page), flags=re.DOTALL | re.MULTILINE)


def links(page):
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


def anchors(page):
    """What a heading is called in a link, as GitHub names it."""
    titles = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands(page):
    """The commands of this project in a page's blocks: name and arguments."""
    for block in code_blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.shlex(line, posix=True, punctuation_chars=True)
            words.whitespace_split = True
            segment = []
            for word in [*words, ";"]:
                if set(word) <= set(";&|"):
                    yield from command_in(segment)
                    segment = []
                else:
                    segment.append({"$system": "mad"}.get(word, word))


def command_in(words):
    for number, word in enumerate(words):
        if word.startswith("experiments."):
            yield word.removeprefix("experiments."), words[number + 1 :]
    if words[:1] == ["madsep"]:
        yield "madsep", words[1:]


@pytest.mark.parametrize(("page", "name"), taken())
def test_what_is_taken_from_files_is_the_same(page, name):
    """`python tests/pages.py` writes it anew."""
    assert marked(text_of(page))[name] == taken()[page, name]


def test_a_table_keeps_its_cells():
    rows = [{"system": "mad", "SDR (dB)": "3.42"}, {"system": "dws-3-16", "SDR (dB)": ">100"}]
    table = "| system | SDR (dB) |\n| --- | ---: |\n| mad | 3.42 |\n| dws-3-16 | >100 |"
    assert write_table(rows) == table


def test_every_kept_picture_is_shown():
    shown = set(links("experiments/results/README.md"))
    assert PICTURES
    assert set(PICTURES) <= shown


def test_the_results_page_says_which_processor():
    """Of every folder of results, as its JSON has it."""
    page = text_of("experiments/results/README.md")
    for file in sorted(RESULTS.rglob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        parts = [content, *content.get("parts", {}).values()]
        processors = {part["environment"].get("processor", "not recorded") for part in parts if "environment" in part}
        folder = file.relative_to(RESULTS).parts[0]
        (row,) = re.findall(rf"^\| \[{folder}/\].*$", page, flags=re.MULTILINE)
        assert {row.split("|")[3].strip()} == processors, folder
        assert re.fullmatch(r" \d{4}-\d\d-\d\d ", row.split("|")[4])


def test_the_first_screen_says_what_the_quick_run_found():
    """Its first sentence, which compares MaD and a DWS-CNN."""
    sentence, *_ = json.loads((RESULTS / "quick" / "results.json").read_text(encoding="utf-8"))["answer"]
    assert f"> {sentence}" in text_of("README.md").splitlines()[:40]


def test_no_kept_table_is_left_out():
    assert {("experiments/results/README.md", file) for file in kept_tables()} <= set(taken())
    assert len(kept_tables()) >= len(list(RESULTS.rglob("*.json")))


def test_the_readme_is_short():
    assert len(text_of("README.md").splitlines()) <= 250


def test_every_page_is_checked():
    found = {*ROOT.glob("*.md"), *(ROOT / ".github").glob("*.md")}
    for folder in ("madsep_jax", "data_pipelines", "experiments", "tests"):
        found |= {*(ROOT / folder).rglob("README.md")}
    assert {path.relative_to(ROOT).as_posix() for path in found} == set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_linked_files_and_headings_exist(page):
    for link in links(page):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / file).resolve() if file else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.relative_to(ROOT).as_posix()), link


@pytest.mark.parametrize("page", PAGES)
def test_commands_parse(page):
    """Every option exists, with a value that it takes; nothing is run."""
    for package in ("cyclopts", "tensorboardX", "matplotlib", "tensorflow"):
        pytest.importorskip(package)
    for name, arguments in commands(page):
        app = importlib.import_module(f"experiments.{name}").app
        app.parse_args(arguments, print_error=False, exit_on_error=False)


def test_every_command_is_in_a_page():
    files = {file.stem for file in (ROOT / "experiments").glob("*.py")} - {"__init__"}
    assert {name for page in PAGES for name, _ in commands(page)} == files


def test_extras_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    lists = [names for page in PAGES for names in re.findall(r"\.\[([\w,]+)\]", text_of(page))]
    named = {name for names in lists for name in names.split(",")}
    assert named
    assert named <= set(extras)


def test_the_changelog_is_that_of_this_version():
    """What `[project.urls]` names is here, and every address of the project is the same."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    assert all(url.startswith(urls["Homepage"]) for url in urls.values())
    _, _, file = urls["Changelog"].partition("/blob/main/")
    assert (ROOT / file).is_file()
    for page in PAGES:
        assert set(re.findall(r"https://github\.com/madsep[\w/-]*", text_of(page))) <= {urls["Homepage"]}


@pytest.mark.thorough
@pytest.mark.parametrize("page", [page for page in PAGES if code_blocks(page, "python")])
def test_examples_run(page, tmp_path):
    """In a folder with a song and a checkpoint by the names that the pages have."""
    soundfile = pytest.importorskip("soundfile")
    import numpy as np
    from tiny_checkpoint import save_model

    noise_NC = np.random.default_rng(0).uniform(-0.5, 0.5, (8000, 2))
    soundfile.write(tmp_path / "song.wav", noise_NC, 8000)
    save_model(tmp_path / "runs" / "quick-embedded" / "rows" / "mad-seed0" / "checkpoint", mask=0.5, noise=0.1)
    for code in code_blocks(page, "python"):
        printing = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name) and node.id == "print"]
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert len(done.stdout.splitlines()) == (3 if printing else 0)  # one line a step

"""The page of results: what it shows of folders of all kinds, what it holds, and the excerpts that it plays.

Oracles: the numbers of results.json; a search of all stretches for the loudest; the samples that were cut; scores with
and without excerpts, to the last bit.
"""

import json
import math
import re
import shutil
import statistics
from html.parser import HTMLParser

import numpy as np
import pytest

sf = pytest.importorskip("soundfile")
for package in ("cyclopts", "jinja2", "plotly", "matplotlib"):
    pytest.importorskip(package)

from result_folders import RATE, SECONDS, make_ablation, make_evaluation, rising
from sources import ROOT

from experiments import report
from experiments.pages.page import write_page
from experiments.scoring.excerpts import ExcerptFolders, loudest
from experiments.scoring.score_songs import score_and_write
from madsep_jax.errors import InputError

MOST_BYTES = 20_000_000
KEPT = ROOT / "experiments" / "results"


class Page(HTMLParser):
    """What a browser reads of a page: texts by element, what it loads, tables by name."""

    def __init__(self, path):
        super().__init__()
        self.loads, self.tables, self.sounds, self.text, self.data = [], {}, [], "", {}
        self._table, self._row, self._in = None, None, []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self._in.append("data" if found.get("id") == "data" else tag)
        self.loads += [found[name] for name in ("src", "href") if name in found]
        if tag == "audio":
            self.sounds.append(found["aria-label"])
        if tag == "table":
            self._table = self.tables.setdefault(found["id"], [])
        if tag == "tr" and self._table is not None:
            self._table.append([])
        if tag in ("td", "th"):
            self._table[-1].append("")

    def handle_endtag(self, tag):
        if tag == "table":
            self._table = None
        self._in.pop()

    def handle_data(self, data):
        if self._in and self._in[-1] == "data":
            self.data = json.loads(data)
        elif self._in and self._in[-1] not in ("script", "style"):
            self.text += data
            if self._table and self._table[-1] and data.strip():
                self._table[-1][-1] += data.strip()


def open_page(*folders, **how):
    file = write_page(list(folders), **how)
    assert file.stat().st_size < MOST_BYTES
    page = Page(file)
    assert all(one.startswith(("data:", "#")) for one in page.loads)
    return page


def test_the_kept_quick_results(tmp_path):
    """Results alone: no logs, no scores by song, no sound."""
    kept = KEPT / "quick"
    page = open_page(kept, file=tmp_path / "page.html")
    rows = json.loads((kept / "results.json").read_text(encoding="utf-8"))["rows"]
    titles, *lines = page.tables["systems"]
    of_systems = {row["system"]: [] for row in rows}
    for row in rows:
        of_systems[row["system"]].append(row["scores"]["targets"]["vocals"]["median_db"]["SDR"])
    assert [line[0] for line in lines] == list(of_systems)
    sdr = [line[titles.index("SDR (dB)")].split()[0].replace("−", "-") for line in lines]
    assert sdr == [f"{statistics.fmean(found):.2f}" for found in of_systems.values()]
    assert "nothing to hear" in page.text
    assert page.sounds == []
    assert page.data["curves"] == {}
    assert "@software{madsep_jax" in page.text


@pytest.mark.parametrize("system", ["../elsewhere", "/tmp", "a/b"])
def test_a_system_that_leads_out_of_the_folder_is_refused(tmp_path, system):
    for content in ({"rows": [{"system": system, "seed": None}]}, {"systems": {system: {}}}):
        (tmp_path / "results.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match=r"found the system .*, expected no path"):
            write_page([tmp_path])
        assert not (tmp_path / "report.html").exists()


def test_a_whole_folder(tmp_path):
    page = open_page(make_ablation(tmp_path, answer=["It is so."]))
    assert "It is so." in page.text
    titles, *lines = page.tables["systems"]
    by_system = {line[0]: line for line in lines}
    assert by_system["mad"][titles.index("SDR (dB)")] == "3.00 ± 0.00"
    assert by_system["mad"][titles.index("seeds")] == "2"
    assert [line[:2] for line in page.tables["seeds"][2:4]] == [["mad", "0"], ["mad", "1"]]
    # the differences rise from song to song: the middle one, the last, the first
    assert re.findall(r"(Median|Best|Worst) difference dws-3-16 − mad: (\S+) dB", page.text) == [
        ("Median", "+1.00"),
        ("Best", "+1.20"),
        ("Worst", "+0.80"),
    ]
    each = ["mixture", "true source, vocals", "dws-3-16, vocals", "mad, vocals"]
    assert page.sounds == 3 * each
    loss = page.data["curves"]["training loss"][0]
    assert (loss["name"], loss["y"][:2], loss["x"][-1]) == ("mad, seed 0", [20, 10], 20)
    assert page.tables["settings"][1] == ["training.steps", "300", "20"]  # the preset's, and this one's


def test_the_plots_have_the_seeds_their_mean_and_songs(tmp_path):
    [mad, _] = open_page(make_ablation(tmp_path, sound=False)).data["systems"]
    assert mad["points"]["vocals SDR"]["seeds"] == [3, 3]
    assert mad["points"]["vocals SDR"]["mean"] == 3
    low, high = mad["points"]["vocals SDR"]["interval"]
    assert 0.8 <= low < 3 < high <= 5.2  # within the songs' scores
    assert mad["songs"]["vocals SDR"] == pytest.approx({f"song {n}": 3 + 1.1 * (n - 2) for n in range(5)}, abs=1e-5)


def test_a_failed_row(tmp_path):
    page = open_page(make_ablation(tmp_path, failed=("mad",)))
    [titles, *lines] = page.tables["systems"]
    assert [line[titles.index("status")] for line in lines] == ["done", "failed: loss is nan at step 7", "done"]
    assert [one["name"] for one in page.data["systems"] if one["points"]] == ["dws-3-16"]
    assert {sound.split(",")[0] for sound in page.sounds} == {"mixture", "true source", "dws-3-16"}


def test_one_system(tmp_path):
    page = open_page(make_ablation(tmp_path, ("mad",), seeds=1))
    assert "Best song of mad: +5.20 dB SDR" in page.text
    assert page.data["differences"] == []
    assert "seeds" not in page.tables


@pytest.mark.thorough
def test_forty_systems_and_little_room(tmp_path):
    """What does not fit is named; the systems that chose the songs come first."""
    systems = [f"dws-{number}-16" for number in range(1, 41)]
    folder = make_ablation(tmp_path, systems, seeds=1, songs=3)
    whole = open_page(folder)
    assert len(whole.sounds) == 3 * (2 + 40)
    some = open_page(folder, most=1_200_000)
    heard = list(dict.fromkeys(sound.split(",")[0] for sound in some.sounds))
    assert heard[:4] == ["mixture", "true source", "dws-2-16", "dws-1-16"]
    assert 4 < len(heard) < 42
    assert len(some.tables["systems"]) == 42
    assert f"too large: {', '.join(name for name in systems if name not in heard)}." in some.text


def test_folders_side_by_side(tmp_path):
    here = make_ablation(tmp_path / "here" / "quick", sound=False)
    there = make_ablation(tmp_path / "there" / "quick", sound=False)
    content = json.loads((there / "results.json").read_text(encoding="utf-8"))
    content["environment"]["processor"] = "another processor"
    (there / "results.json").write_text(json.dumps(content), encoding="utf-8")
    evaluation = make_evaluation(tmp_path / "evaluation")
    couplings = KEPT / "couplings"
    page = open_page(here, there, evaluation, couplings, file=tmp_path / "page.html")
    assert "here/quick, there/quick" in page.text
    names = [one["name"] for one in page.data["systems"]]
    assert names[:2] == ["here/quick: mad", "here/quick: dws-3-16"]
    assert names[-1] == f"{tmp_path.name}/evaluation: poor"
    assert page.tables["side-by-side"][2] == ["mad", "3.00 ± 0.00", "3.00 ± 0.00", "–", "–", "0.00"]
    processors = next(line for line in page.tables["made-with"] if line[0] == "processor")
    assert processors[1:3] == ["a processor", "another processor"]
    assert any(line[0] == "skip-filtering" for line in page.tables["maps-0"])


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda folder: None, "found no results.json, expected a folder of the ablation or the evaluation"),
        (lambda folder: (folder / "results.json").write_text("{"), "cannot be read as JSON"),
        (lambda folder: (folder / "results.json").write_text('{"rows": [{"seed": 0}]}'), "is damaged, or of another"),
        (lambda folder: (folder / "results.json").write_text('{"rows": 3}'), "is damaged, or of another"),
        (lambda folder: (folder / "results.json").write_text("[]"), "is damaged, or of another"),
        (lambda folder: (folder / "results.json").write_text("{}"), "is damaged, or of another"),
    ],
)
def test_what_cannot_be_shown_is_said_in_a_line(tmp_path, capsys, write, said):
    write(tmp_path)
    assert report.main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


def test_the_command_says_where_the_page_is(tmp_path, capsys):
    make_ablation(tmp_path, sound=False)
    assert report.main([str(tmp_path)]) == 0
    assert re.fullmatch(rf"Page: {tmp_path}/report.html \(\d\.\d MB\)\n", capsys.readouterr().out)
    assert report.main([str(tmp_path), str(tmp_path)]) == 2
    assert "found a folder twice" in capsys.readouterr().err


def test_it_is_cited_as_readme_says():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [entries] = re.findall(r"```bibtex\n(.*?)```", readme, re.DOTALL)
    assert (ROOT / "experiments" / "pages" / "cite.bib").read_text(encoding="utf-8") == entries


def test_the_loudest_stretch_is_found_by_a_search():
    random = np.random.default_rng(0)
    for samples in (900, 1500, 2049, 5003):
        voice_NC = random.standard_normal((samples, 2)) * random.uniform(0, 1, (samples, 1)) ** 4
        found = loudest(voice_NC, 1000, 1.5)
        starts = range(0, max(samples // 100 * 100 - 1500, 0) + 1, 100)
        best = max(starts, key=lambda start: np.square(voice_NC[start : start + 1500]).sum())
        assert (found.start, found.stop) == (best, min(best + 1500, samples))


def test_an_excerpt_sounds_like_what_was_cut(tmp_path):
    """Vorbis keeps the length exactly, and of a sine all but -20 dB."""
    places = ExcerptFolders(tmp_path / "true", tmp_path / "system")
    sounds = {"vocals": rising(1).repeat(2, 1), "accompaniment": rising(2).repeat(2, 1)}
    places.cut("a/b", sounds["vocals"] + sounds["accompaniment"], sounds, sounds, RATE).write()
    [about] = (tmp_path / "true").glob("*/excerpt.json")
    assert json.loads(about.read_text(encoding="utf-8")) == {"track": "a/b", "start_s": 0.0}
    for folder in ("true", "system"):
        found_NC, rate = sf.read(tmp_path / folder / about.parent.name / "vocals.ogg")
        assert (found_NC.shape, rate) == ((round(SECONDS * RATE), 2), RATE)
        error = np.square(found_NC - sounds["vocals"]).mean() / np.square(sounds["vocals"]).mean()
        assert 10 * math.log10(error) < -20
    assert sf.info(tmp_path / "true" / about.parent.name / "mixture.ogg").format == "OGG"


def test_scores_are_the_same_with_and_without_excerpts(tmp_path):
    references_NC = {"vocals": rising(1), "accompaniment": rising(2)}
    estimates_NC = {"vocals": 0.9 * rising(1) + 0.1 * rising(2), "accompaniment": 0.8 * rising(2)}
    how = references_NC, estimates_NC, RATE, "sisec18", "jax"
    cut = ExcerptFolders(tmp_path, tmp_path).cut("song", rising(1) + rising(2), references_NC, estimates_NC, RATE)
    score_and_write(tmp_path / "without.json", "song", *how)
    score_and_write(tmp_path / "with.json", "song", *how, cut)
    assert (tmp_path / "with.json").read_bytes() == (tmp_path / "without.json").read_bytes()


def test_what_has_no_rate_of_vorbis_is_left_out(tmp_path):
    voice_NC = np.zeros((4000, 1))
    assert ExcerptFolders(tmp_path, tmp_path).cut("song", voice_NC, {"vocals": voice_NC}, {}, 4000) is None


def test_a_damaged_excerpt_is_said(tmp_path, capsys):
    folder = make_ablation(tmp_path)
    (folder / "excerpts" / "song 0" / "excerpt.json").write_text("{}", encoding="utf-8")
    assert report.main([str(folder)]) == 2
    assert "excerpt.json: is damaged, expected what scoring wrote; delete its folder" in capsys.readouterr().err
    shutil.rmtree(folder / "excerpts" / "song 0")
    assert report.main([str(folder)]) == 0

"""Maps of several systems beside each other, and whether the diagonal ones go with better scores.

Oracles: systems whose maps are made by hand (a filter, a shift of all bins, the mean of both), and for the rank
correlation its formula, its p-value and what it could find a loop over all orders.
"""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import tiny

for package in ("cyclopts", "matplotlib", "jinja2", "plotly", "soundfile"):
    pytest.importorskip(package)

from result_folders import scores_of
from test_report import Page

from experiments import report
from experiments.coupling_maps.compare import relation, relations
from experiments.coupling_maps.report import mapping_figure
from experiments.couplings import main
from madsep_jax.checkpoint.folder import save_checkpoint
from madsep_jax.config.maskers import AutoencoderConfig
from madsep_jax.config.run import RunConfig
from madsep_jax.config.signal import SequenceConfig
from madsep_jax.models.registry import architecture_of
from madsep_jax.train.step import init_state

F = tiny.SIGNAL.bins
SHIFT = np.roll(np.eye(F), 7, axis=0)
#: What each system does to a frame of magnitudes, and its SDR.
MADE = {
    "dae": (AutoencoderConfig(), SHIFT, 1.0),
    "dae-deep": (AutoencoderConfig(hidden_layers=3), (np.eye(F) + SHIFT) / 2, 3.0),
    "skip-filtering": (AutoencoderConfig(skip_filtering=True), np.eye(F), 5.0),
}


def save(folder, system, seed=0, status="done"):
    """A row of a system that does to each frame what its matrix says."""
    masker, matrix_FF, sdr_db = MADE[system]
    config = RunConfig(signal=tiny.SIGNAL, sequences=SequenceConfig(frames=1, context=0), masker=masker)
    state = init_state(config)
    names = architecture_of(masker).layers(masker)
    layers = {name: {"kernel": np.eye(F, dtype=np.float32), "bias": np.zeros(F, np.float32)} for name in names}
    layers[names[-1]]["kernel"] = matrix_FF.T.astype(np.float32)
    if system == "skip-filtering":  # its layers make a mask: of ones
        layers[names[-1]] = {"kernel": np.zeros((F, F), np.float32), "bias": np.ones(F, np.float32)}
    place = folder / "rows" / f"{system}-seed{seed}"
    save_checkpoint(place / "checkpoint", config, dataclasses.replace(state, params=state.params | layers))
    row = {"system": system, "seed": seed, "status": status, "scores": scores_of({"SDR": sdr_db + seed})}
    (place / "row.json").write_text(json.dumps(row))


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The folder of an ablation, and that of its maps."""
    folder = tmp_path_factory.mktemp("compared")
    for system in MADE:
        save(folder / "run", system)
    save(folder / "run", "dae", seed=1, status="failed: loss is nan at step 7")
    (folder / "run" / "rows" / "mixture").mkdir()
    (folder / "run" / "rows" / "mixture" / "row.json").write_text('{"system": "mixture", "seed": null}')
    assert command(folder, "run", "--steps", "400", "--learning-rate", "0.01") == 0
    return folder


def command(folder, run, *more, out="out"):
    arguments = ["--checkpoint", folder / run, "--songs", 1, "--frames", 300, "--cache", folder / "cache"]
    return main([str(one) for one in (*arguments, "--out", folder / out, *more)])


def test_each_map_is_the_one_that_was_made(compared):
    content = json.loads((compared / "out" / "couplings.json").read_text())
    assert [line["name"] for line in content["maps"]] == ["dae-seed0", "dae-deep-seed0", "skip-filtering-seed0"]
    assert [line["sdr_db"] for line in content["maps"]] == [1.0, 3.0, 5.0]
    assert {line["form"] for line in content["maps"]} == {"student"}
    shares = {line["system"]: line["diagonal_shares"][1]["weighted_mapping"] for line in content["maps"]}
    assert shares["skip-filtering"] == pytest.approx(1, abs=0.05)
    assert shares["dae-deep"] == pytest.approx(0.5, abs=0.05)
    assert shares["dae"] == pytest.approx(0, abs=0.02)
    assert all(line["left"] < 0.1 for line in content["maps"])


def test_all_pictures_are_at_one_scale(compared):
    content = json.loads((compared / "out" / "couplings.json").read_text())
    mappings = {}
    for line in content["maps"]:
        with np.load(compared / "out" / line["name"] / "couplings.npz") as arrays:
            mappings[line["name"]] = arrays["mapping_FF"]
    tops = [np.abs(mapping_FF[1:, 1:]).max() for mapping_FF in mappings.values()]
    assert content["top"] == max(tops) > min(tops)
    for name, mapping_FF in mappings.items():
        about = json.loads((compared / "out" / name / "couplings.json").read_text())
        title = f"{about['system']}, neural couplings, student form"
        figure = mapping_figure(mapping_FF, 50.0, title, "linear", max(tops))
        assert figure.axes[0].collections[0].norm.vmax == max(tops)
        figure.savefig(compared / "again.png", dpi=150)
        assert (compared / "again.png").read_bytes() == (compared / "out" / name / "mapping_linear.png").read_bytes()


def test_the_page_has_each_map_and_its_numbers(compared):
    page = Page(compared / "out" / "report.html")
    content = json.loads((compared / "out" / "couplings.json").read_text())
    assert len([one for one in page.loads if one.startswith("data:image/png")]) == 3
    assert "All maps are drawn at one scale." in " ".join(page.text.split())
    header, *rows = page.tables["maps-0"]
    assert header[:5] == ["system", "seed", "SDR (dB)", "on the diagonal (%)", "within ±50 Hz (%)"]
    for line, row in zip(content["maps"], rows, strict=True):
        share = line["diagonal_shares"][1]["weighted_mapping"]
        assert row[:3] == [line["system"], "0", f"{line['sdr_db']:.2f}"]
        assert row[4] == f"{100 * share:.1f}"
        assert f"{line['system']}, seed 0, student form" in page.text
    assert "rank correlation +1.00 over 3 systems, p = 0.33: no relation found; of so few systems" in page.text
    [plot] = page.data["maps"]
    assert [(one["name"], one["points"]["1"]["y"]) for one in plot["systems"]] == [
        ("dae", 1.0),
        ("dae-deep", 3.0),
        ("skip-filtering", 5.0),
    ]


def test_the_page_of_the_ablation_takes_them(compared, tmp_path):
    again = tmp_path / "both.html"
    assert report.main([str(compared), "-o", str(again)]) == 0
    assert Page(again).tables["maps-0"] == Page(compared / "out" / "report.html").tables["maps-0"]


def test_what_is_left_out_is_said(compared, tmp_path, capsys):
    options = ("--systems", "dae-deep", "dae", "--steps", "1")
    assert command(compared, "run", *options, out=tmp_path / "two") == 0
    printed = capsys.readouterr().out
    assert "dae-seed1: left out: failed: loss is nan at step 7" in printed
    assert "too few systems have a score" in printed
    assert sorted(path.name for path in (tmp_path / "two").iterdir() if path.is_dir()) == [
        "dae-deep-seed0",
        "dae-seed0",
    ]
    assert command(compared, "run", "--systems", "mad", out=tmp_path / "none") == 2
    assert "--systems mad: found no training of it" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


# The rank correlation


@pytest.mark.parametrize("count", [3, 4, 5, 6])
def test_the_relation_is_that_of_all_orders(count):
    random = np.random.default_rng(count)
    shares, sdr_db = random.uniform(size=count).tolist(), random.uniform(size=count).tolist()
    ranks = [np.argsort(np.argsort(values)) for values in (shares, sdr_db)]

    def spearman(one, other):
        return 1 - 6 * sum((one - other) ** 2) / (count * (count**2 - 1))

    strengths = [abs(spearman(np.array(order), ranks[1])) for order in itertools.permutations(range(count))]
    found = relation(shares, sdr_db)
    expected = spearman(*ranks)
    assert found.rank_correlation == pytest.approx(expected)
    assert found.p_value == pytest.approx(np.mean([one >= abs(expected) - 1e-9 for one in strengths]))
    would = [one for one in strengths if np.mean([other >= one - 1e-9 for other in strengths]) <= 0.05]
    assert found.visible == (pytest.approx(min(would)) if would else None)
    assert found.found == (found.p_value <= 0.05)


def test_many_systems():
    shares = np.arange(12.0)
    found = relation(shares.tolist(), (-shares).tolist())
    assert found.rank_correlation == pytest.approx(-1)
    assert found.p_value == pytest.approx(1 / 10_000)
    assert found.visible == pytest.approx(0.587, abs=0.03)  # the published critical value of 12 pairs


@pytest.mark.parametrize(
    ("shares", "sdr_db"), [([0.1, 0.2], [1, 2]), ([0.1] * 4, [1, 2, 3, 4]), ([1, 2, 3], [1, 1, 1])]
)
def test_where_there_is_nothing_to_correlate(shares, sdr_db):
    assert relation(shares, sdr_db).rank_correlation is None


def test_a_system_is_one_point():
    def line(system, share, sdr_db):
        return {"system": system, "sdr_db": sdr_db, "diagonal_shares": [{"weighted_mapping": share}] * 4}

    lines = [line("a", 0.1, 1), line("a", 0.3, 3), line("b", 0.4, 4), line("c", 0.5, 5)]
    more = [line("d", None, 6), line("e", 0.9, None)]
    assert [one["systems"] for one in relations(lines + more)] == [3] * 4
    assert relations(lines)[1]["rank_correlation"] == pytest.approx(1)
    assert "over 3 systems" in relations(lines)[1]["says"]

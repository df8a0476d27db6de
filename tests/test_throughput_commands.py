"""`python -m experiments.throughput` and `experiments.device_report`, at a size that takes seconds."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("cyclopts")

from experiments import device_report, throughput
from experiments.benchmarks.equality import UnequalOutputsError
from experiments.benchmarks.throughput import ours, peak, run_case

HERE = Path(__file__).parent
SMALL = ["--preset", "quick", "--steps", "2", "--seconds", "5"]
#: Installed for songs, scores and training alone.
NOT_NEEDED = ("av", "data_pipelines", "museval", "soundfile", "soxr", "tensorboardX", "tensorflow")
BLOCK = f"""
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if any(name == blocked or name.startswith(blocked + ".") for blocked in {NOT_NEEDED}):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Block())
"""


@pytest.fixture(autouse=True)
def small_matrices(monkeypatch):
    """The peak itself is tested elsewhere; without optimisations a large product takes many seconds."""
    monkeypatch.setattr(peak, "_SECONDS", 0.02)
    monkeypatch.setattr(peak, "_CPU_SIZES", (64,))
    monkeypatch.setattr(peak, "_CPU_COPY", 1000)


def run_throughput(out, *arguments):
    assert throughput.main([*SMALL, "--out", str(out), *arguments]) == 0
    return json.loads((out / "throughput.json").read_text())


def test_sizes_are_timed_beside_torch(tmp_path, capsys):
    pytest.importorskip("torch")
    found = run_throughput(tmp_path, "--systems", "mad", "--batches", "1", "2", "--lengths", "24", "--peer", "torch")
    rows = {(row["mode"], row["batch"], row["variant"]): row for row in found["results"]}
    variants = ("jax auto", "torch", "torch tuned")
    assert set(rows) == set(itertools.product(("forward", "train"), (1, 2), variants))
    for (mode, batch, variant), row in rows.items():
        assert row["status"] == "measured"
        assert row["steps"] == len(row["step_s"]) == 2
        assert 0 < row["first_quartile_s"] <= row["median_s"] <= row["third_quartile_s"]
        assert row["sequences_per_s"] == pytest.approx(batch / row["median_s"])
        assert row["gflop_per_s"] == pytest.approx(row["flops"] / 1e9 / row["median_s"])
        assert len(row["round_peaks"]) == 2
        assert row["peak_gflop_per_s"] == pytest.approx(sum(row["round_peaks"]) / 2)
        assert row["peak_share"] == pytest.approx(row["gflop_per_s"] / row["peak_gflop_per_s"])
        if variant == "jax auto":
            assert row["compile_s"] > 0
            assert row["memory"]["peak"] >= 4 * row["parameters"]
            torch_s = rows[mode, batch, "torch"]["median_s"]
            assert row["ratio_to"]["torch"] == pytest.approx(row["median_s"] / torch_s)
            assert set(row["ratio_to"]) == {"torch", "torch tuned"}
    assert found["settings"]["torch"]["threads"] > 0
    assert found["settings"]["options"]["steps"] == 2
    assert {path.name for path in tmp_path.iterdir()} == {
        "throughput.json",
        "summary.md",
        "table.md",
        "throughput_against_batch.png",
        "seconds_against_parameters.png",
        "seconds_against_gflop.png",
    }
    assert (tmp_path / "table.md").read_text().count("| mad ") == 12
    out = capsys.readouterr().out
    ratios = [row["ratio_to"][peer] for row in rows.values() if row["ratio_to"] for peer in ("torch", "torch tuned")]
    assert all(f" {ratio:.2f} " in out.replace("\n", " ") for ratio in ratios)
    assert "/ torch tuned" in (tmp_path / "table.md").read_text()


@pytest.mark.thorough
def test_a_folder_takes_up_further_cases(tmp_path, capsys):
    """The earlier rows stay as they are; a case timed again is replaced; other settings are refused."""
    size = ["--batches", "1", "--lengths", "24", "--modes", "forward"]
    first = run_throughput(tmp_path, "--systems", "dae", *size)
    second = run_throughput(tmp_path, "--systems", "skip-filtering", *size)
    assert [row["system"] for row in second["results"]] == ["dae", "skip-filtering"]
    assert second["results"][0]["step_s"] == first["results"][0]["step_s"]
    assert second["earlier_runs"] == [first["settings"]]
    third = run_throughput(tmp_path, "--systems", "dae", *size)
    assert [row["system"] for row in third["results"]] == ["skip-filtering", "dae"]
    assert third["results"][0]["step_s"] == second["results"][1]["step_s"]
    capsys.readouterr()
    assert throughput.main([*SMALL, "--out", str(tmp_path), "--systems", "dae", *size, "--forms", "plain"]) == 2
    error = capsys.readouterr().err
    assert "other settings" in error
    assert json.loads((tmp_path / "throughput.json").read_text()) == third


def test_torch_compile_needs_a_compiler(tmp_path, monkeypatch):
    """Without one its line says so, and the others are timed."""
    pytest.importorskip("torch")
    monkeypatch.setenv("CXX", "no-compiler-of-this-name")
    size = ["--systems", "mad", "--batches", "1", "--lengths", "24", "--modes", "forward"]
    found = run_throughput(tmp_path, *size, "--peer", "torch-compile")
    status = {row["variant"]: row["status"] for row in found["results"]}
    failure = "failed: InputError: torch.compile: found no C++ compiler 'no-compiler-of-this-name'"
    assert status.pop("torch compiled").startswith(failure)
    assert status == dict.fromkeys(("jax auto", "torch", "torch tuned"), "measured")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile takes a C++ compiler")
def test_torch_compile_returns_the_same(tmp_path):
    pytest.importorskip("torch")
    size = ["--systems", "dws-3-16", "--batches", "1", "--lengths", "24"]
    found = run_throughput(tmp_path, *size, "--peer", "torch-compile")  # compares outputs before it times
    compiled = [row for row in found["results"] if row["variant"] == "torch compiled"]
    assert [(row["mode"], row["status"]) for row in compiled] == [("forward", "measured"), ("train", "measured")]


def test_forms_are_timed_though_torch_does_not_have_the_system(tmp_path):
    pytest.importorskip("torch")
    size = ["--systems", "dae", "--batches", "2", "--lengths", "24", "--modes", "train"]
    found = run_throughput(tmp_path, *size, "--forms", "plain", "fast", "--peer", "torch")
    plain, fast, *failed = found["results"]
    assert [row["variant"] for row in found["results"]] == ["jax plain", "jax fast", "torch", "torch tuned"]
    assert (plain["batch"], plain["frames"]) == (2 * 4, 1)  # of single frames
    for row in (plain, fast):
        assert row["median_s"] > 0
        assert row["ratio_to"] == {}
    for row in failed:
        assert row["status"].startswith("failed: InputError: autoencoder: not written in PyTorch, expected MaD")
        assert row["median_s"] is None


@pytest.mark.parametrize("is_glibc", [pytest.param(True, marks=pytest.mark.thorough), False])
def test_freed_memory_is_kept_where_asked_for(tmp_path, capsys, monkeypatch, is_glibc):
    calls = []
    monkeypatch.setattr(throughput, "keep_freed_memory", lambda: calls.append(1) or is_glibc)
    asked = [*SMALL, "-o", str(tmp_path), "--systems", "dae", "--modes", "forward", "--keep-freed-memory"]
    assert throughput.main(asked) == (0 if is_glibc else 2)
    assert len(calls) == 1
    assert ("`--keep-freed-memory`" in (tmp_path / "table.md").read_text()) if is_glibc else not any(tmp_path.iterdir())
    assert ("expected glibc" in capsys.readouterr().err) != is_glibc


@pytest.mark.thorough
def test_double_precision(tmp_path):
    size = ["--systems", "dae", "--batches", "1", "--lengths", "24", "--modes", "forward"]
    found = run_throughput(tmp_path, *size, "--precisions", "float32", "float64")
    single, double = found["results"]
    assert [row["precision"] for row in (single, double)] == ["float32", "float64"]
    assert double["memory"]["argument"] == pytest.approx(2 * single["memory"]["argument"], rel=1e-3)
    assert set(found["peaks"]) == {"float32", "float64"}


def test_other_outputs_than_those_of_torch_are_an_error(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    right = ours.initial_state

    def wrong(config, dtype):
        state = right(config, dtype)
        params = {**state.params, "denoiser": {**state.params["denoiser"]}}
        decoder = params["denoiser"]["decoder"]
        params["denoiser"]["decoder"] = {**decoder, "bias": decoder["bias"] + 0.1}
        return state.replace(params=params)

    calls = iter([wrong])
    size = ["--systems", "mad", "--batches", "1", "--lengths", "24", "--modes", "forward", "--peer", "torch"]
    monkeypatch.setattr(run_case, "compare_training_losses", lambda case, forms: None)
    monkeypatch.setattr(ours, "initial_state", lambda *arguments: next(calls, right)(*arguments))  # of JAX alone
    with pytest.raises(UnequalOutputsError, match="outputs of 'torch' and 'jax auto' differ"):
        throughput.main([*SMALL, *size, "--out", str(tmp_path)])


def test_other_losses_than_those_of_torch_are_an_error(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    right = run_case.training_loss
    monkeypatch.setattr(run_case, "training_loss", lambda *arguments: right(*arguments) + 1)
    size = ["--systems", "mad", "--batches", "1", "--lengths", "24", "--peer", "torch"]
    with pytest.raises(UnequalOutputsError, match="training losses of 'auto' and 'torch' differ"):
        throughput.main([*SMALL, *size, "--out", str(tmp_path)])


def test_interrupted_it_leaves_what_it_has(tmp_path, monkeypatch, capsys):
    right = run_case.run_case
    turns = iter([right])

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_case, "run_case", lambda *arguments: next(turns, interrupt)(*arguments))
    size = ["--systems", "dae", "--batches", "1", "--lengths", "24"]
    assert throughput.main([*SMALL, *size, "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err == f"throughput: interrupted; what was measured until then: {tmp_path}/\n"
    (row,) = json.loads((tmp_path / "throughput.json").read_text())["results"]
    assert row["mode"] == "forward"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--systems", "mda"], "system 'mda': unknown, did you mean 'mad'?"),
        (["--lengths", "20"], "SequenceConfig.frames: found 20, expected more than twice the context (10)"),
        (["--batches", "0"], "TrainingConfig.batch_size: found 0, expected a positive number of sequences"),
        (["--steps", "0"], "--steps: found 0, expected at least 1"),
        (["--turns", "0"], "--turns: found 0, expected at least 1"),
        (["--seconds", "0"], "--seconds: found 0.0, expected a positive number"),
        (["--precisions", "tf32"], "--precisions: found 'tf32', which a CPU does not have"),
        (["--preset", "qick"], "preset 'qick': unknown, did you mean 'quick'?"),
        (["--peer", "tensorflow"], "--peer"),
    ],
)
def test_bad_options_of_throughput(tmp_path, capsys, arguments, line):
    assert throughput.main(["--out", str(tmp_path / "new"), *arguments]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_torch_that_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("experiments.benchmarks.peer.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("experiments.benchmarks.peer.run", raising=False)
    assert throughput.main(["--peer", "torch", "--out", str(tmp_path)]) == 2
    assert (
        capsys.readouterr().err == "throughput: --peer torch: PyTorch is not installed; python -m pip install torch\n"
    )


@pytest.mark.thorough
def test_device_report_without_the_packages_for_songs(tmp_path):
    """On whatever this machine has; where that is no accelerator the CPU reports on itself."""
    arguments = [
        *SMALL,
        *("--systems", "mad", "dae", "--timed", "dae", "--batches", "1", "2", "--lengths", "24", "30"),
        *("--forms", "plain", "--peer", "none", "--budget-s", "1000", "--out", str(tmp_path)),
    ]
    code = f"{BLOCK}\nfrom experiments.benchmarks.throughput import peak\n"
    code += "peak._SECONDS, peak._CPU_SIZES, peak._CPU_COPY = 0.02, (64,), 1000\n"
    code += f"from experiments.device_report import main\nsys.exit(main({arguments}))"
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "device_report.json").read_text())
    assert found["cut"] is None
    agreements = found["correctness"]["rows"]
    assert sorted((row["system"], row["form"], row["agrees"]) for row in agreements) == [
        ("dae", "plain", True),
        ("mad", "plain", True),
    ]
    rows = [row for row in found["rows"] if row["precision"] == "float32"]
    # batches of frames: 1 and 2 sequences of 4 target frames, then 1 of 10
    assert {(row["batch"], row["mode"]) for row in rows} == set(itertools.product((4, 8, 10), ("forward", "train")))
    for row in rows:
        assert row["status"] == "measured"
        assert row["median_s"] > 0
        assert row["planned"]["seconds"] > 0
        shares = [operation["share"] for operation in row["slowest"]]
        assert shares == sorted(shares, reverse=True) != []
    assert "Correct within 0.001: 2 of 2" in done.stdout
    if found["accelerator"] is None:
        assert "No accelerator: this is a report on the CPU itself." in done.stdout


def test_device_report_has_a_row_for_what_it_had_no_time_for(tmp_path, capsys):
    arguments = ["--systems", "mad", "--timed", "mad", "--batches", "1", "--lengths", "24", "--peer", "none"]
    assert device_report.main([*SMALL, *arguments, "--budget-s", "1e-9", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "device_report.json").read_text())
    assert {row["mode"] for row in found["rows"]} == {"forward", "train"}
    assert not any(row["median_s"] or row["status"] == "measured" for row in found["rows"])
    assert not any(row["agrees"] for row in found["correctness"]["rows"])
    assert f"Measured: 0 of {len(found['rows'])} rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--systems", "mda"], "system 'mda': unknown"),
        (["--budget-s", "0"], "--budget-s: found 0.0, expected a positive number"),
    ],
)
def test_bad_options_of_device_report(tmp_path, capsys, arguments, line):
    assert device_report.main([*arguments, "--out", str(tmp_path / "new")]) == 2
    assert line in capsys.readouterr().err
    assert not (tmp_path / "new").exists()

"""`python -m experiments.compile_time` on systems that compile in seconds, and the numbers that it works out."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cyclopts")

from experiments.benchmarks.case import Case
from experiments.benchmarks.compile_time.options import CompileOptions
from experiments.benchmarks.compile_time.parts import make_parts
from experiments.benchmarks.compile_time.report import PICTURES
from experiments.benchmarks.compile_time.stages import about, compile_in_stages, measure_stages, program_size
from experiments.benchmarks.compile_time.starts import STARTS, measure_starts
from experiments.benchmarks.compile_time.steps import choices, measure_op_by_op, paid_after
from experiments.benchmarks.equality import largest_difference
from experiments.benchmarks.rounds import PATIENCE_S, Spread, fits
from experiments.compile_time import main
from madsep_jax.config.maskers import AutoencoderConfig
from madsep_jax.config.run import RunConfig
from madsep_jax.host.compiler import CHOSEN

STAGES = ("trace", "lower", "compile", "total")
PNG = b"\x89PNG\r\n\x1a\n"
TINY = RunConfig(signal=tiny.SIGNAL, sequences=tiny.SEQUENCES, masker=AutoencoderConfig())
DAE = Case(system="dae", mode="train", config=TINY)
DAE_FORWARD = dataclasses.replace(DAE, mode="forward")


@pytest.fixture
def command(tmp_path):
    """Run the command on small systems; more options replace these. Returns the exit code."""

    def run(*more):
        options = {
            "--preset": ["quick"],
            "--systems": ["dae"],
            "--repeats": ["1"],
            "--batch": ["1"],
            "--out": [tmp_path / "out"],
        }
        for word in more:
            if str(word).startswith("--"):
                values = options[word] = []
            else:
                values.append(word)
        return main([str(part) for name, values in options.items() for part in (name, *values)])

    return run


TITLES = (
    "Stages of compiling",
    "Against sequence length",
    "Ahead-of-time export",
    "Options of the compiler",
    "What compiling is",
)


def content_of(tmp_path):
    return json.loads((tmp_path / "out" / "compile_time.json").read_text())


def error_line(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


# The command


@pytest.mark.thorough
def test_writes_every_part_of_one_process(command, tmp_path, capsys):
    assert command("--parts", "systems", "length", "export", "compiler", "op-by-op", "--lengths", "1", "2") == 0
    content = content_of(tmp_path)
    assert list(content["parts"]) == ["systems", "length", "export", "compiler", "op-by-op"]
    names = [row["options"] for row in content["parts"]["compiler"]["rows"]]
    assert names == list(choices(CHOSEN["cpu"]))
    assert [row["mode"] for row in content["parts"]["systems"]["rows"]] == ["train", "forward"]
    assert [row["frames"] for row in content["parts"]["length"]["rows"]] == [1, 2]
    assert [row["difference"] for row in content["parts"]["export"]["rows"]] == [0, 0]
    assert content["parts"]["systems"]["configs"]["dae"]["compute"]["operations"] == "auto"
    assert content["parts"]["op-by-op"]["configs"]["dae"]["compute"]["operations"] == "plain"
    for part in content["parts"].values():
        assert part["repeats"] == 1
        assert part["configs"]["dae"]["training"]["batch_size"] == 40
        assert part["environment"]["cpu_cores"] > 0
        assert part["environment"]["versions"]["jax"] == jax.__version__
        assert part["environment"]["flags"]["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1"
    assert (tmp_path / "out" / "compile_length.png").read_bytes().startswith(PNG)
    table = (tmp_path / "out" / "table.md").read_text()
    for shown in (table, capsys.readouterr().out):
        for title in TITLES:
            assert title in shown


def test_depth_compiles_each_depth_scanned_and_unrolled(tmp_path):
    options = CompileOptions(parts=("depth",), depths=(1, 3), channels=4, preset="quick")
    (part,) = make_parts(options).values()
    found = [(about(case)["layers"], case.config.compute.blocks, case.mode) for case in part.cases]
    assert found == [
        (1, "scanned", "train"),
        (1, "unrolled", "train"),
        (3, "scanned", "train"),
        (3, "unrolled", "train"),
    ]
    seconds = {f"{stage}_s": {"median": 2, "first_quartile": 1, "third_quartile": 3} for stage in STAGES}
    PICTURES["depth"]([{**about(case), **seconds} for case in part.cases]).savefig(tmp_path / "depth.png")
    assert (tmp_path / "depth.png").read_bytes().startswith(PNG)


def test_parts_are_added_to_those_measured_before(command, tmp_path):
    assert command("--parts", "systems", "--modes", "forward") == 0
    before = content_of(tmp_path)["parts"]["systems"]
    assert command("--parts", "length", "--lengths", "1") == 0
    assert content_of(tmp_path)["parts"].keys() == {"systems", "length"}
    assert content_of(tmp_path)["parts"]["systems"] == before


def test_refuses_a_folder_of_other_settings(command, tmp_path, capsys):
    assert command("--parts", "systems", "--modes", "forward") == 0
    assert command("--parts", "systems", "--batch", "2") == 2
    assert "holds a measurement with other settings" in error_line(capsys)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--repeats", "0"), "--repeats: found 0, expected at least 1"),
        (("--repeats", "1.5"), "1.5"),
        (("--parts", "stages"), "--parts"),
        (("--modes", "both"), "--modes"),
        (("--systems", "dws-5"), "system 'dws-5': unknown"),
        (("--small-systems", "mda"), "system 'mda': unknown"),
        (("--preset", "slow"), "preset 'slow': unknown"),
        (("--batch", "0"), "batch_size: found 0"),
        (("--systems", "mad", "--lengths", "20"), "SequenceConfig.frames: found 20, expected more than twice"),
        (("--channels", "0"), "channels: found 0"),
        (("--depths",), "--depths"),
    ],
)
def test_refuses_in_one_line(command, tmp_path, capsys, options, message):
    assert command(*options) == 2
    assert message in error_line(capsys)
    assert not (tmp_path / "out").exists()


def test_refuses_a_file_in_the_place_of_the_results(command, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert command("--out", tmp_path / "file") == 2
    assert f"--out {tmp_path / 'file'}: cannot be made" in error_line(capsys)


def test_refuses_damaged_results(command, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "compile_time.json").write_text("[]")
    assert command("--parts", "systems") == 2
    assert "compile_time.json: is damaged" in error_line(capsys)


# What is measured


def test_paid_after_by_hand():
    assert paid_after(ready_s=10, step_s=1, op_by_op_s=3) == 5
    assert paid_after(ready_s=10, step_s=1, op_by_op_s=3.1) == 5
    assert paid_after(ready_s=10, step_s=1, op_by_op_s=2.9) == 6
    assert paid_after(ready_s=0.1, step_s=1, op_by_op_s=100) == 1
    assert paid_after(ready_s=10, step_s=3, op_by_op_s=3) is None
    assert paid_after(ready_s=10, step_s=4, op_by_op_s=3) is None


@given(ready=st.integers(1, 1000), step=st.integers(0, 50), slower=st.integers(1, 50))
def test_paid_after_is_the_first_such_step(ready, step, slower):
    steps = paid_after(ready, step, step + slower)
    assert ready + steps * step <= steps * (step + slower)
    assert ready + (steps - 1) * step > (steps - 1) * (step + slower)


def test_spread():
    """Of 1, 2, 3, 4, 10: the middle one, and those a quarter in."""
    assert Spread.of([10, 1, 3, 2, 4]) == Spread(3, 2, 4)
    assert Spread.of([7]) == Spread(7, 7, 7)


def test_what_takes_long_is_repeated_less_often():
    assert PATIENCE_S == 60
    assert fits([])
    assert fits([1.0] * 59)
    assert not fits([1.0] * 60)
    assert fits([30.0])
    assert not fits([30.1])
    assert not fits([100.0])


def test_the_size_of_a_program_by_hand():
    """A sine, a product, a loop around one sum: 3 constants and 3 operations, the loop, its counter and its ends."""

    def function(x):
        return jax.lax.fori_loop(0, 4, lambda _, y: y + x, jnp.sin(x) * x)

    lowered, compiled, stages = compile_in_stages(jax.jit(function), [jnp.ones(256)])
    size = program_size(lowered, compiled)
    text = lowered.as_text()
    assert size.stablehlo_bytes == len(text)
    # Every operation but the module, the function and its return has the dialect's name in front, once.
    assert size.stablehlo_operations == text.count("stablehlo.") > 6
    assert size.fusions == compiled.as_text().count("calls=%") >= 1
    assert size.executable_bytes > 0
    assert size.temporary_bytes >= 0
    assert stages["total_s"] == stages["trace_s"] + stages["lower_s"] + stages["compile_s"]


def test_stages_are_measured_afresh_each_time(monkeypatch):
    """Each repeat traces all of a function, what is compiled within it included: Python runs it again."""
    calls = []
    made = Case.function
    inner = jax.jit(lambda array: calls.append("inner") or array)

    def watched(case):
        function = made(case)

        def watch(first, second):
            calls.append(case.mode)
            return function(first, jax.tree.map(inner, second))

        return watch

    monkeypatch.setattr(Case, "function", watched)
    advanced = []
    rows = measure_stages([DAE, DAE_FORWARD], 2, lambda: advanced.append(1))
    train, forward = ["train", "inner", "inner"], ["forward", "inner"]  # magnitudes of mixture and voice, of mixture
    assert calls == (train + forward) * 2
    assert len(advanced) == 4
    assert [row["mode"] for row in rows] == ["train", "forward"]
    assert rows[0]["stablehlo_operations"] > rows[1]["stablehlo_operations"]
    for row in rows:
        assert all(row[name].median > 0 for name in ("trace_s", "lower_s", "compile_s", "total_s"))


def test_compiled_eager_and_op_by_op_steps():
    (row,) = measure_op_by_op(DAE_FORWARD, 2)
    assert row["eager_runs"] == row["op_by_op_runs"] == 2
    for way in ("eager", "op_by_op"):
        expected = paid_after(row["ready_s"], row["step_s"].median, row[f"{way}_s"].median)
        assert row[f"{way}_paid_after"] == expected
        assert row[f"{way}_speed_up"] == row[f"{way}_s"].median / row["step_s"].median


def test_what_eager_and_op_by_op_mean(monkeypatch):
    """A compiled function sees tracers, once; an eager one arrays; op by op no `jit` within it counts either."""
    seen = []
    made = Case.function

    def watched(case):
        function = made(case)

        def watch(variables, mag_BSF):
            seen.append((isinstance(mag_BSF, jax.core.Tracer), jax.config.jax_disable_jit))
            return function(variables, mag_BSF)

        return watch

    monkeypatch.setattr(Case, "function", watched)
    measure_op_by_op(DAE_FORWARD, 1)
    compiled, eager, op_by_op = (True, False), (False, False), (False, True)
    assert seen == [compiled, eager, op_by_op, eager, op_by_op]


@pytest.mark.thorough
def test_a_new_process_reads_what_the_one_before_compiled():
    (cold, warm, exported_cold, exported_warm) = measure_starts([DAE], 1)
    assert [row["start"] for row in (cold, warm, exported_cold, exported_warm)] == list(STARTS)
    for row in (cold, exported_cold):
        assert (row["cache_hits"], row["cache_misses"] > 0) == (0, True)
    for row in (warm, exported_warm):
        assert (row["cache_hits"] > 0, row["cache_misses"]) == (True, 0)
    for row in (cold, warm):
        assert row["read_s"].median == 0 < row["trace_s"].median
    assert exported_warm["read_s"].median > 0
    assert warm["cache_bytes"] == cold["cache_bytes"] > 0
    for row in (cold, warm, exported_cold, exported_warm):
        parts = [row[f"{name}_s"].median for name in ("python", "import", "init", "ready", "run")]
        assert row["total_s"].median == pytest.approx(sum(parts))


def test_the_largest_difference_is_relative_to_its_own_array():
    expected = {"large": np.array([100.0, -200.0]), "small": np.array([0.01])}
    assert largest_difference(expected, expected) == 0
    assert largest_difference({"large": np.array([100.0, -198.0]), "small": np.array([0.01])}, expected) == 0.01
    off = {"large": expected["large"], "small": np.array([0.015])}
    assert largest_difference(off, expected) == pytest.approx(0.5)
    assert largest_difference(jax.random.key(1), jax.random.key(1)) == 0
    assert largest_difference(jax.random.key(1), jax.random.key(2)) > 0

"""`python -m experiments.compile_time --target`: devices, the floor, the table; and what is compiled for them."""

import json
import re
import subprocess
from importlib.util import find_spec

import pytest

pytest.importorskip("cyclopts")

from experiments.benchmarks.case import Case
from experiments.benchmarks.compile_time import targets as targets_module
from experiments.benchmarks.planned import plan as plan_module
from experiments.benchmarks.planned.devices import GPUS, TPUS, describe, find_target
from experiments.benchmarks.planned.floor import floor_bytes
from experiments.compile_time import main
from madsep_jax.errors import InputError
from madsep_jax.models.variables import parameter_counts

PNG = b"\x89PNG\r\n\x1a\n"


# Devices


def test_names_of_devices():
    tpu, gpu = find_target("tpu:v5e"), find_target("cuda:h200")
    assert (tpu.kind, tpu.topology, tpu.description) == ("tpu", "v5e:2x2", "")
    assert (gpu.kind, gpu.topology) == ("gpu", "1x1x1")
    assert find_target("tpu:v5e:4x4").topology == "v5e:4x4"
    assert tpu.variables["TPU_SKIP_MDS_QUERY"] == "1"
    assert gpu.variables == {"JAX_PLATFORMS": "cpu"}


def test_facts_of_devices():
    """The H200's float32 by hand: 132 cores of 128 units, a product and a sum each, at 1.98 GHz."""
    h200, v5e = find_target("cuda:h200").device, find_target("tpu:v5e").device
    assert h200.product_flops_per_s["float32"] == pytest.approx(66.9e12, rel=1e-3)
    assert h200.bytes_per_s == 4.8e12
    assert v5e.product_flops_per_s["float32"] == pytest.approx(197e12 / 6)
    for device in [*(find_target(f"cuda:{name}").device for name in GPUS), *(device for device, _ in TPUS.values())]:
        rates = [device.product_flops_per_s[precision] for precision in ("float32", "tf32", "bfloat16")]
        assert rates == sorted(rates)
        assert device.memory_bytes > 2**33


def test_the_roofline_by_hand():
    device = find_target("cuda:h200").device
    compute_s = device.compute_s("float32", products=66.9e9, others=0)
    assert compute_s == pytest.approx(1e-3, rel=1e-3)
    assert device.roofline_s(9.6e9, compute_s, 500) == pytest.approx(2e-3 + 500 * 2e-6)
    assert device.roofline_s(2.4e9, compute_s, 0) == compute_s
    assert device.compute_s("float16", 1, 1) is None
    assert device.roofline_s(4.8e9, None, 0) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cuda:h20", "--target cuda:h20: unknown, did you mean 'cuda:h200'?"),
        ("tpu:v5f", "did you mean 'tpu:v5"),
        ("h200", "unknown"),
        ("cuda:/nowhere/gpu.txtpb", "cannot be read"),
        ("metal", "expected one of: cuda:a100"),
    ],
)
def test_refuses_an_unknown_device(name, message):
    with pytest.raises(InputError, match="--target") as error:
        find_target(name)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_device_described_in_a_file(tmp_path):
    file = tmp_path / "mine.txtpb"
    file.write_text(describe(GPUS["a100"]))
    found = find_target(f"cuda:{file}")
    assert found.device.product_flops_per_s == {"float32": pytest.approx(19.5e12, rel=1e-3)}
    assert (found.description, found.device.memory_bytes) == (file.read_text(), 85100068864)
    assert found.settings == {"compute.target": "gpu"}
    file.write_text(describe(GPUS["t4"]))
    assert find_target(f"cuda:{file}").settings == {"compute.target": "gpu", "compute.kernels": "xla"}
    file.write_text("no description")
    with pytest.raises(InputError, match="found no GPU's description in it, expected core_count"):
        find_target(f"cuda:{file}")


@pytest.mark.parametrize(("name", "extra"), [("tpu:v5e", "madsep-jax[tpu]"), ("cuda:h200", "--no-deps")])
def test_says_what_to_install(monkeypatch, name, extra):
    monkeypatch.setattr(plan_module.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError) as error:
        plan_module.require_compiler(find_target(name))
    assert extra in str(error.value)
    assert "\n" not in str(error.value)


# The floor


def test_the_floor_of_a_dws_cnn_by_hand():
    """Quick dws-3-16, one sequence: 513 frequencies, pooled 102, upsampled 200, pooled 40 and 8."""
    config = Case.of("dws-3-16", "train", 1, 60, "quick").config
    frames, targets, bins = 60, config.sequences.target_frames, 513
    blocks = frames * (bins * (11 * 16 + 2) + (3 * 102 + 200 + 40) * 13 * 16)
    others = 2 * targets * (8 * 8 + bins) + 2 * targets * (bins + 256 + bins)
    parameters = sum(parameter_counts(config.model, train=True).values())
    expected = 4 * (8 * parameters + (frames + targets) * bins + blocks + others)
    assert floor_bytes(config) == expected


def test_the_floor_of_mad_by_hand():
    """Quick mad, one sequence: R = 186; the kernels of both directions and of the decoder are read at every step."""
    config = Case.of("mad", "train", 1, 60, "quick").config
    targets, bins, one, both = 40, 513, 186, 372
    parameters = sum(parameter_counts(config.model, train=True).values())
    states = 2 * 4 * (2 * 60 * one + targets * both)
    others = 2 * targets * bins + 2 * targets * (bins + 256 + bins)
    once = 4 * (8 * parameters + (60 + targets) * bins + states + others)
    assert floor_bytes(config, kept_bytes=4 * 3 * both**2) == once
    kernels = 4 * 2 * (2 * 60 * 3 * one**2 + targets * 3 * both**2)
    assert floor_bytes(config) == once + kernels


@pytest.mark.parametrize(
    "system", ["mad-ris-s", "mad-twinnet", "mad-mingru", "mad-dilated", "dilated-gru", "dae", "dae-deep"]
)
def test_every_system_has_a_floor(system):
    config = Case.of(system, "train", 4, 60, "quick").config
    parameters = sum(parameter_counts(config.model, train=True).values())
    assert floor_bytes(config) > 32 * parameters


# The command


def count(launches=10, moved=4.8e9):
    largest = [{"name": "f", "kind": "fusion f32[2]", "source": "jit(train_step)/x", "runs": 2, "bytes": moved / 2}]
    found = {"launches": launches, "bytes": moved, "product_flops": 1e9, "other_flops": 0.0, "largest": largest}
    return found | {"collectives": [], "at_most": [], "counted_once": [], "uncounted": []}


PLANNED = {
    "reason": None,
    "compile_s": 3.0,
    "memory": {"temporary": 2**30, "argument": 0, "output": 0, "peak": 2**30},
    "count": count(),
    "exchange": {"exchanges": 0, "in_loops": 0, "given_bytes": 0, "largest_bytes": 0, "sent_bytes": 0.0},
    "floor_bytes": 2.4e9,
    "compiler": "one 1.0",
}


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Run the command with programs that are not compiled; `command.asked` are the targets that would have been."""
    asked = []

    def answer(function, arguments, variables):
        asked.append(arguments[0])
        found = answers.pop(0) if answers else PLANNED
        if isinstance(found, Exception):
            raise found
        return [found]

    answers = []
    monkeypatch.setattr(targets_module, "run_together", answer)

    def run(*more, preset="quick"):
        sizes = [] if "--batches" in more else ["--batches", "1", "2"]
        fixed = ["--preset", preset, "--lengths", "60", "80", "--out", str(tmp_path / "out")]
        return main([*fixed, *sizes, *map(str, more)])

    run.asked, run.answers = asked, answers
    run.content = lambda: json.loads((tmp_path / "out" / "compile_time_targets.json").read_text())
    return run


def test_a_row_for_each_size_and_a_table_that_says_planned(command, tmp_path, capsys):
    assert command("--target", "cuda:h200", "tpu:v5e:2x2", "--systems", "mad", "dws-3-16") == 0
    rows = command.content()["rows"]
    sizes = [(1, 60), (1, 80), (2, 60)]
    found = [(row["target"], row["system"], row["batch"], row["frames"]) for row in rows]
    assert found == [
        (target, system, *size)
        for target in ("cuda:h200", "tpu:v5e:2x2")
        for system in ("mad", "dws-3-16")
        for size in sizes
    ]
    assert [asked["config"]["compute"]["target"] for asked in command.asked] == ["gpu"] * 6 + ["tpu"] * 6
    assert rows[0]["roofline_s"] == pytest.approx(1e-3 + 10 * 2e-6)
    assert rows[0]["floor_s"] == pytest.approx(0.5e-3)
    assert rows[0]["fits"] is True
    for shown in ((tmp_path / "out" / "table.md").read_text(), capsys.readouterr().out):
        assert "Planned, not measured" in shown
        assert re.search(r"(^|\| )cuda:h200 .*\bmad ", shown, re.MULTILINE)
        assert "2 µs" in shown
    assert "jit" not in (tmp_path / "out" / "operations.md").read_text().split("\n")[2]
    for x in ("batch", "frames"):
        assert (tmp_path / "out" / f"roofline_against_{x}.png").read_bytes().startswith(PNG)


def test_rows_that_are_there_are_not_compiled_again_unless_asked(command):
    assert command("--target", "cuda:h200", "--systems", "mad") == 0
    assert command("--target", "cuda:h200", "--systems", "mad", "dws-3-16") == 0
    assert len(command.asked) == 6
    assert command("--target", "cuda:h200", "--systems", "mad", "--again") == 0
    assert len(command.asked) == 9
    assert len(command.content()["rows"]) == 6


def test_devices_that_share_a_batch(command, tmp_path):
    """The efficiency by hand: a step of 1 ms and ten launches, and 0.45 GB over links of 450 GB/s."""
    exchange = {"exchanges": 2, "in_loops": 0, "given_bytes": 1, "largest_bytes": 1, "sent_bytes": 0.45e9}
    command.answers[:] = [PLANNED, PLANNED, {**PLANNED, "exchange": exchange}]
    assert command("--target", "cuda:h200", "--systems", "mad", "--shared", "1", "8", "--batches", "8") == 0
    assert [asked["devices"] for asked in command.asked] == [1, 1, 8, 8]
    rows = {(row["devices"], row["frames"]): row for row in command.content()["rows"]}
    assert rows[1, 60]["efficiency"] == 1
    assert rows[8, 60]["efficiency"] == pytest.approx(1.02 / 2.02)
    row = next(line for line in (tmp_path / "out" / "table.md").read_text().splitlines() if "|         8 |" in line)
    assert [cell.strip() for cell in row.split("|")[-4:-1]] == ["2", "450.0", "0.50"]


def test_what_does_not_compile_is_a_row_with_its_reason(command, tmp_path):
    large = {**PLANNED, "reason": "Ran out of memory in memory space hbm", "compile_s": None, "memory": None}
    command.answers[:] = [
        {**large, "count": None, "exchange": None},
        RuntimeError("plan failed in its process:\nSIGABRT"),
        subprocess.TimeoutExpired("plan", 3600),
    ]
    assert command("--target", "tpu:v5e", "--systems", "mad") == 0
    reasons = [row["reason"] for row in command.content()["rows"]]
    assert sorted(reasons) == [
        "Ran out of memory in memory space hbm",
        "its compiler has failed: SIGABRT",
        "took more than an hour",
    ]
    assert "Ran out of memory" in (tmp_path / "out" / "table.md").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--target", "cuda:h300"), "did you mean 'cuda:h"),
        (("--target", "cuda:h200", "--batches", "0"), "batch_size: found 0"),
        (("--target", "cuda:h200", "--precisions", "int8"), "--precisions"),
        (("--target", "cuda:h200", "--shared", "8"), "--batches: found 1, expected multiples of 8"),
        (("--target", "cuda:h200", "--systems", "mda"), "system 'mda': unknown"),
    ],
)
def test_refuses_in_one_line(command, tmp_path, capsys, options, message):
    assert command(*options) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()


def test_refuses_a_folder_of_another_preset(command, capsys):
    assert command("--target", "cuda:h200", "--systems", "mad") == 0
    assert command("--target", "cuda:h200", "--systems", "mad", preset="paper") == 2
    assert "holds rows of the preset quick" in capsys.readouterr().err


def test_refuses_rows_without_a_key_in_one_line(command, tmp_path, capsys):
    """As a damaged file has them, or one of before rows said how many devices share a step."""
    assert command("--target", "cuda:h200", "--systems", "mad") == 0
    content = command.content()
    del content["rows"][0]["devices"]
    (tmp_path / "out" / "compile_time_targets.json").write_text(json.dumps(content))
    assert command("--target", "cuda:h200", "--systems", "mad") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "compile_time_targets.json" in line


# Compiled for the devices

has_cuda = pytest.mark.skipif(
    not plan_module._has_plugin("13") and not plan_module._has_plugin("12"),
    reason="needs jax's plugin for CUDA (pip install --no-deps jax-cuda13-plugin jax-cuda13-pjrt)",
)
has_tpu = pytest.mark.skipif(find_spec("libtpu") is None, reason="needs libtpu (pip install libtpu)")


def planned(target, system, batch=4, preset="quick", **changes):
    """A row of a train step as a user gets it, compiled with all optimisations."""
    found = find_target(target)
    given = {**found.settings, **{name.replace("__", "."): value for name, value in changes.items()}}
    case = Case.of(system, "train", batch, 60, preset).changed(given)
    return targets_module.PlannedCase(found, case, (target, 1, system, batch, 60, "float32", "auto")).row()


@pytest.fixture
def optimised(monkeypatch):
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "0")
    monkeypatch.setenv("XLA_FLAGS", "")


def test_without_the_compiler_a_row_says_what_is_missing():
    if not has_tpu.args[0]:
        pytest.skip("libtpu is installed")
    with pytest.raises(InputError, match="needs libtpu, which is not installed: pip install"):
        planned("tpu:v5e", "dae")


@has_cuda
@pytest.mark.thorough
def test_a_matrix_product_for_a_gpu(optimised):
    """Two layers of 513 units on 40 frames: two products forwards, three backwards, some with their sums padded."""
    row = planned("cuda:h200", "dae", batch=1)
    least = 5 * 2 * 40 * 513**2
    assert least <= row["count"]["product_flops"] <= 1.1 * least
    assert row["count"]["counted_once"] == []
    assert row["fits"] is True


@has_cuda
@pytest.mark.thorough
@pytest.mark.parametrize("device", ["t4", "a100", "b200"])
def test_other_gpus(optimised, device):
    """XLA takes no Triton kernel for a T4, which therefore gets what defines them."""
    row = planned(f"cuda:{device}", "dws-1-8", batch=1)
    assert row["fits"] is True, row["reason"]


def told(row):
    """What a row says in numbers, for a message."""
    return {name: row["count"][name] for name in ("launches", "bytes")} | {"floor_bytes": row["floor_bytes"]}


@has_cuda
@pytest.mark.thorough
@pytest.mark.parametrize(
    ("system", "launches", "floors"),
    [
        ("mad", 800, 2.0),  # plain: 3,644 and 3.1
        ("mad-twinnet", 1100, 2.0),
        ("dws-3-16", 800, 4.8),
        ("dws-5-32", 1000, 4.8),
    ],
)
def test_what_a_small_step_takes_on_a_gpu(optimised, system, launches, floors):
    """Kernels, and bytes in multiples of the floor: little above what today's forms count."""
    row = planned("cuda:h200", system)
    assert row["count"]["launches"] <= launches, told(row)
    assert row["count"]["bytes"] <= floors * row["floor_bytes"], told(row)
    assert row["count"]["counted_once"] == row["count"]["collectives"] == []


@has_cuda
@pytest.mark.thorough
def test_every_small_system_compiles_for_a_gpu_and_twice_the_same(optimised):
    first, second = (planned("cuda:h200", "mad-ris-s")["count"] for _ in range(2))
    assert first["counted_once"] == []
    for name in ("launches", "bytes", "product_flops"):
        assert second[name] == pytest.approx(first[name], rel=0.02)
    for system in ("mad-mingru", "mad-dilated", "dilated-gru", "skip-filtering", "dws-3-16-res", "dws-3-16-k3"):
        assert planned("cuda:h200", system)["reason"] is None


@has_tpu
@pytest.mark.thorough
@pytest.mark.parametrize(("system", "gigabytes"), [("mad", 0.08), ("dws-3-16", 0.08)])
def test_what_a_small_step_takes_on_a_tpu(optimised, system, gigabytes):
    """All of it stays on the chip but parameters and batch; plain, dws-3-16 moves 0.36 GB."""
    row = planned("tpu:v5e:2x2", system)
    assert row["count"]["bytes"] <= gigabytes * 1e9, told(row)
    assert row["fits"] is True
    assert row["count"]["counted_once"] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "system", "batch", "launches", "gigabytes", "temporary_gib"),
    [
        pytest.param("cuda:h200", "mad", 4, 1000, 7, 1, marks=has_cuda),
        pytest.param("cuda:h200", "dws-5-64", 4, None, 7, 2, marks=has_cuda),
        pytest.param("cuda:h200", "dws-7-256", 4, None, 32, 6, marks=has_cuda),
        pytest.param("cuda:h200", "dws-7-256", 64, None, None, 40, marks=has_cuda),
        pytest.param("tpu:v5e:2x2", "dws-5-64", 4, None, 10, 3, marks=has_tpu),
        pytest.param("tpu:v5e:2x2", "dws-7-256", 4, None, 45, 11, marks=has_tpu),
    ],
)
def test_what_a_full_step_takes(optimised, target, system, batch, launches, gigabytes, temporary_gib):
    """Of the plain forms a step of MaD is 3,638 kernels and 13 GB; those of the CNNs move 15.6, 71.6, 29 and 120 GB."""
    row = planned(target, system, batch, preset="paper")
    assert row["reason"] is None
    assert launches is None or row["count"]["launches"] <= launches, told(row)
    assert gigabytes is None or row["count"]["bytes"] <= gigabytes * 1e9, told(row)
    assert row["memory"]["temporary"] <= temporary_gib * 2**30, row["memory"]

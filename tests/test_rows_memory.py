"""Whether the rows of an experiment fit a device, before they start.

Oracles: memory that is made up, for which is known what fits; and the compiler itself, asked for each row.
"""

import math

import jax
import pytest

pytest.importorskip("soundfile")
for package in ("cyclopts", "tensorboardX", "matplotlib"):
    pytest.importorskip(package)

from small_ablation import SMALL
from tiny import DWS
from tiny_songs import make_songs

from experiments.ablation import main
from experiments.rows import memory
from experiments.rows.memory import RowMemory, RowsMemory, plan_step, remedies
from madsep_jax.config.io import override
from madsep_jax.config.parallel import ParallelConfig
from madsep_jax.host.memory import free_bytes, memory_errors

BASE = override(DWS, {"training.batch_size": 16})
GIB = 2**30


def row(layers, **changes):
    return override(BASE, {"masker.layers": layers, **changes})


def made_up(config):
    """Bytes: a held part, and a temporary one that grows by depth and by the sequences that are at once."""
    compute, training = config.compute, config.training
    one = (3 + config.masker.layers) * (0.5 if compute.precision == "bfloat16" else 1) * (0.8 if compute.remat else 1)
    return GIB * (0.5 + one * training.batch_size / training.accumulation)


def of_rows(depths, there, planned=made_up, devices=1):
    asked = []

    def ask(config):
        asked.append(config)
        return planned(config)

    rows = [row(depth) for depth in depths]
    found = RowsMemory(rows, ask, there, devices)
    return [found.of(config) for config in rows], asked


def test_rows_between_the_least_and_the_deepest_are_not_compiled():
    found, asked = of_rows((1, 5, 7, 9), 2**60)
    assert [one.planned for one in found] == [made_up(row(depth)) for depth in (1, 5, 7, 9)]
    assert sorted(config.masker.layers for config in asked) == [1, 9]
    assert all(one.fits for one in found)


def test_where_equal_blocks_are_in_no_loop_each_is_compiled():
    rows = [row(depth, **{"compute.blocks": "unrolled"}) for depth in (1, 2, 3)]
    assert RowsMemory(rows, made_up, 2**60).asked() == rows
    dilated = [row(depth, **{"masker.dilations": (1, 2)}) for depth in (2, 4)]
    assert len(RowsMemory(dilated, made_up, 2**60).asked()) == 2


def test_seeds_are_compiled_once():
    rows = [row(0, **{"training.seed": seed}) for seed in range(3)]
    assert len(RowsMemory(rows, made_up, 2**60).asked()) == 1


@pytest.mark.parametrize(
    ("there_gib", "remedy"),
    [
        (70, None),  # 64.5 are needed
        (52, "--remat"),  # 51.7
        (40, "--accumulate 2"),  # 32.5
        (5, "--accumulate 16"),
        (4, "--remat --accumulate 16"),  # 3.7
        (2.3, "--remat --accumulate 16 --precision bfloat16"),  # 2.1
        (2, None),  # nothing helps, and no smaller batch: the parts are of one sequence
    ],
)
def test_the_first_remedy_that_fits_is_named(there_gib, remedy):
    (found,), _ = of_rows((1,), there_gib * GIB)
    assert found.remedy == remedy
    assert found.fits == (there_gib == 70)


def test_a_smaller_batch_is_the_last_remedy():
    """Four devices share a batch, of which the parts are multiples of four."""
    changed = [name for name, _ in remedies(row(1), 4, 1.5)]
    assert changed == [
        "--remat",
        "--accumulate 2",
        "--accumulate 4",
        "--precision bfloat16",
        "--remat --accumulate 4",
        "--remat --accumulate 4 --precision bfloat16",
        "--batch 8",
        "--batch 4",
    ]
    every = {"compute.remat": True, "compute.precision": "bfloat16", "training.accumulation": 16}
    assert list(remedies(row(1, **every), 1, math.inf)) == []


def test_what_the_compiler_gives_up_on_does_not_fit():
    (small, large), _ = of_rows((1, 9), 2**60, lambda config: made_up(config) if config.masker.layers < 5 else math.inf)
    assert small.fits
    assert not large.fits
    assert "needs too much of the" in large.line("dws")


def test_what_nobody_tells_is_not_known():
    assert RowMemory(None, GIB).fits is None
    assert RowMemory(GIB, None).fits is None
    (found,), _ = of_rows((1,), 1, lambda config: None)
    assert (found.fits, found.remedy) == (None, None)


@pytest.mark.thorough
@pytest.mark.parametrize("operations", ["plain", "fast"])
def test_the_compilers_plan_is_on_a_line(operations):
    """Within 2 %; the oracle is the plan of the row itself."""
    rows = [row(depth, **{"compute.operations": operations, "masker.channels": 16}) for depth in (2, 7, 12)]
    found = RowsMemory(rows, lambda config: plan_step(config, ParallelConfig(devices=1)), 2**60)
    expected = plan_step(rows[1], ParallelConfig(devices=1))
    assert found.of(rows[1]).planned == pytest.approx(expected, rel=0.02)
    assert found.of(rows[0]).planned < 0.9 * expected


@pytest.mark.thorough
def test_a_plan_counts_steps_and_seeds():
    one = plan_step(row(0), ParallelConfig(devices=1))
    seeds = plan_step(row(0), ParallelConfig(devices=1, steps_per_call=2), seeds=3)
    assert 2 * one < seeds < 4 * one


def test_what_xla_has_no_memory_for_is_a_memory_error():
    with pytest.raises(MemoryError, match=r"^RESOURCE_EXHAUSTED: Ran out"), memory_errors():
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm\nby a lot")
    with pytest.raises(jax.errors.JaxRuntimeError), memory_errors():
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")


@pytest.mark.parametrize(("version", "own"), [(2, "job/step"), (1, "job"), (2, "not/seen/from/a/container")])
def test_memory_ends_at_the_limit_of_a_control_group(tmp_path, monkeypatch, version, own):
    """A limit of the folder itself, or of one above it; files that the system keeps can be given back."""
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    root = tmp_path / "memory" if version == 1 else tmp_path
    limited = root if own.startswith("not") else root / "job"
    (limited / "step").mkdir(parents=True)
    (limited / names[0]).write_text("1000000\n")
    (limited / names[1]).write_text("600000\n")
    (limited / "memory.stat").write_text(f"anon 5\n{names[2]} 100000\n")
    (limited / "step" / names[0]).write_text("max\n")
    groups = tmp_path / "cgroup"
    groups.write_text(f"4:cpu,memory:/{own}\n" if version == 1 else f"0::/{own}\n")
    monkeypatch.setattr("madsep_jax.host.memory._OWN_GROUPS", groups)
    if free_bytes(tmp_path) is None:
        pytest.skip("the system does not tell")
    assert free_bytes(tmp_path) == 500_000
    (limited / names[0]).write_text("max\n")
    assert free_bytes(tmp_path) > 500_000


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    return make_songs(tmp_path_factory.mktemp("songs"))


def test_a_dry_run_says_what_does_not_fit(tmp_path, songs, monkeypatch, capsys):
    monkeypatch.setattr(memory, "plan_step", lambda config, parallel, seeds: made_up(config))
    monkeypatch.setattr(memory, "device_bytes", lambda device: 10 * GIB)
    arguments = [*SMALL, "--systems", "dws-1-4", "dws-2-4", "--data", str(songs), "--cache", str(tmp_path / "cache")]
    assert main([*arguments, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "8.5 GiB" in out
    assert "10.5 GiB !" in out
    assert "dws-1-4-seed0: does not fit" not in out
    assert "dws-2-4-seed0: does not fit: needs 10.5 GiB of the 10.0 GiB that are free; fits with --remat" in out


@pytest.mark.thorough
def test_a_row_that_does_not_fit_is_left_and_the_others_go_on(tmp_path, songs, monkeypatch, capsys):
    """Then it can be tried all the same. The first of the two is the one of `SMALL`."""

    def require_room(compiled, device):
        if len(planned) == 0:
            planned.append(compiled)
            raise MemoryError("needs about 9.0 GiB, 1.0 GiB are free")

    planned = []
    monkeypatch.setattr("experiments.training.loop.require_room", require_room)
    folder, more = tmp_path / "out", ["--systems", "dws-0-4"]
    arguments = [*SMALL, *more, "--data", str(songs), "--out", str(folder), "--cache", str(tmp_path / "cache")]
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert "dws-1-4-seed0: not trained, needs about 9.0 GiB, 1.0 GiB are free; --dry-run says" in out
    assert err == ""
    assert not (folder / "rows" / "dws-1-4-seed0" / "row.json").exists()
    assert (folder / "rows" / "dws-0-4-seed0" / "row.json").exists()
    planned.clear()
    assert main([*arguments, "--ignore-memory"]) == 0
    assert planned == []
    assert (folder / "rows" / "dws-1-4-seed0" / "row.json").exists()

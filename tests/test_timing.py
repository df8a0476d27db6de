"""The parts that measure. Oracles: clocks, traces and programs made for the purpose."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("cyclopts")

from experiments.timing import correctness, ours
from experiments.timing import peak as peak_module
from experiments.timing.cases import Case, make_batch
from experiments.timing.compile_guard import CompiledWhileTimedError, no_compilation
from experiments.timing.equality import check_losses, check_outputs
from experiments.timing.host_memory import free_bytes, require_memory
from experiments.timing.peak import Peak, measure_peak
from experiments.timing.precision import computing_in
from experiments.timing.prepared import Prepared, UnequalOutputsError
from experiments.timing.profiling import operation_seconds, slowest_operations
from experiments.timing.report import Report
from experiments.timing.result import VariantResult
from experiments.timing.rounds import Times, interleave
from experiments.timing.summary import summary_table
from madsep_jax.config_io import override
from madsep_jax.errors import InputError
from madsep_jax.models.shapes import parameter_counts


class Clock:
    """Time that passes only in a step."""

    def __init__(self):
        self.now, self.order = 0.0, []

    def step(self, name, seconds):
        def run():
            self.order.append(name)
            self.now += seconds

        return run

    def __call__(self):
        return self.now


def test_all_take_turns_and_each_goes_first():
    clock = Clock()
    runs = {name: clock.step(name, seconds) for name, seconds in (("a", 1.0), ("b", 2.0), ("c", 3.0))}
    times = interleave(runs, steps=3, seconds=100, clock=clock)
    assert "".join(clock.order) == "abcbcacab"
    assert {name: found.step_s for name, found in times.items()} == {"a": [1.0] * 3, "b": [2.0] * 3, "c": [3.0] * 3}


def test_what_is_slow_ends_by_time_but_not_after_one_step():
    clock = Clock()
    runs = {"fast": clock.step("fast", 1.0), "slow": clock.step("slow", 40.0), "slowest": clock.step("slowest", 99.0)}
    times = interleave(runs, steps=20, seconds=60, clock=clock)
    assert {name: len(found.step_s) for name, found in times.items()} == {"fast": 20, "slow": 2, "slowest": 2}


def test_a_failure_is_kept_and_the_others_go_on():
    clock = Clock()

    def fail():
        if clock.now > 1:
            raise RuntimeError("RESOURCE_EXHAUSTED:\n out of memory")

    times = interleave({"a": clock.step("a", 1.0), "b": fail}, steps=5, seconds=100, clock=clock)
    assert len(times["a"].step_s) == 5
    assert times["b"] == Times(failure="RuntimeError: RESOURCE_EXHAUSTED: out of memory")


def test_a_mistake_is_no_failure_to_go_on_from():
    def wrong():
        raise TypeError("takes 2 arguments")

    with pytest.raises(TypeError):
        interleave({"a": wrong}, steps=1, seconds=1)


def test_compiling_in_a_timed_step_is_an_error():
    sizes = itertools.count(3)
    with pytest.raises(CompiledWhileTimedError, match="new shapes: 1 programs were compiled in a timed step"):
        interleave({"new shapes": lambda: jax.jit(lambda x: x + 1)(np.ones(next(sizes)))}, steps=2, seconds=9)


def test_a_compiled_program_compiles_nothing():
    x = jnp.ones(5)
    compiled = jax.jit(lambda x: x * 3).lower(x).compile()
    with no_compilation("compiled"):
        compiled(x).block_until_ready()


def mad(**changes):
    return Case.of("mad", "train", 2, 24, "quick", **changes)


def test_a_case_is_the_preset_in_one_size():
    case = mad(seed=5)
    sequences, training = case.config.sequences, case.config.training
    assert (sequences.frames, sequences.context, training.batch_size, training.seed) == (24, 10, 2, 5)
    assert case.audio_s == pytest.approx(2 * 4 * 96 / 11025)
    assert case.parameters == sum(parameter_counts(case.config.model, train=True).values())
    assert (
        Case.of("mad-twinnet", "train", 1, 24, "quick").parameters
        > Case.of("mad-twinnet", "forward", 1, 24, "quick").parameters
    )


def test_flops_of_a_case_do_not_depend_on_the_form():
    case = Case.of("dae", "forward", 2, 24, "quick")  # 8 frames of 513 → 513 → 513
    assert case.flops == pytest.approx(8 * 2 * 2 * 513 * 513, rel=0.01)
    train = dataclasses.replace(case, mode="train")
    products = 5 / 2 * case.flops  # two for the input's gradients less that of the first layer
    assert products < train.flops < products + 30 * train.parameters
    for form in ("plain", "fast", "auto"):
        assert dataclasses.replace(train, config=train.with_form(form)).flops == train.flops


def test_the_data_are_magnitudes_and_the_same_each_time():
    config = mad().config
    batch = make_batch(config, np.dtype(np.float32))
    assert batch.mix_BSF.shape == (2, 24, 513)
    assert batch.voice_BTF.shape == (2, 4, 513)
    for array in batch:
        assert array.dtype == np.float32
        assert array.min() >= 1e-8
        assert array.max() < 100
    assert (batch.voice_BTF <= batch.mix_BSF[:, 10:14]).all()
    make_batch.cache_clear()
    np.testing.assert_array_equal(make_batch(config, np.dtype(np.float32)).mix_BSF, batch.mix_BSF)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_weights_do_not_depend_on_size_or_form(precision):
    first, other = mad(precision=precision), Case.of("mad", "forward", 5, 30, "quick", precision=precision)
    with computing_in(precision):
        states = [
            ours.initial_state(case.with_form(form), case.dtype) for case, form in ((first, "plain"), (other, "fast"))
        ]
    for a, b in zip(*(jax.tree.leaves(state.params) for state in states), strict=True):
        assert a.dtype == precision
        assert a.unsafe_buffer_pointer() != b.unsafe_buffer_pointer()
        np.testing.assert_array_equal(a, b)


def test_precisions_that_a_cpu_does_not_have():
    if jax.default_backend() != "cpu":
        pytest.skip("needs a machine without accelerator")
    with pytest.raises(InputError, match="--precisions: found 'tf32', which a CPU does not have"), computing_in("tf32"):
        pass


def prepared(output):
    return Prepared(run=lambda: None, forward_output=lambda: np.asarray(output))


def test_unequal_outputs_are_an_error():
    case = mad()
    assert check_outputs(case, {"a": prepared([1.0, 2.0]), "b": prepared([1.0, 2.0001])}) == pytest.approx(5e-5)
    for wrong in ([1.0, 2.001], [1.0, np.nan], [1.0]):
        with pytest.raises(UnequalOutputsError, match="mad train, batch 2, 24 frames, float32: outputs of 'b' and 'a'"):
            check_outputs(case, {"a": prepared([1.0, 2.0]), "b": prepared(wrong)})


def test_unequal_losses_are_an_error():
    assert check_losses(mad(), {"torch": 2.0, "plain": 2.0001}) == pytest.approx(5e-5)
    with pytest.raises(UnequalOutputsError, match=r"training losses of 'plain' and 'torch' differ by 0\.05"):
        check_losses(mad(), {"torch": 2.0, "plain": 2.1})


def test_the_peak_is_what_a_processor_can_do(monkeypatch):
    monkeypatch.setattr(peak_module, "_CPU_SIZES", (256,))  # tests run without optimisations
    peak = measure_peak("float32", seconds=0.05)
    assert 1 < peak.gflop_per_s < 1e7
    assert 0.5 < peak.copy_gb_per_s < 1e5


def test_memory_that_is_not_there():
    free = free_bytes()
    require_memory(0)
    if free is None:
        pytest.skip("the system does not tell")
    with pytest.raises(MemoryError, match=r"needs about \d+\.\d GiB, \d+\.\d GiB are free"):
        require_memory(2 * free)


def result(variant, seconds, **changes):
    fields = {"system": "mad", "mode": "train", "precision": "float32", "batch": 4, "frames": 60}
    fields |= {"parameters": 7, "flops": 3e9, "audio_s": 1.5, "config": {}} | changes
    if seconds is not None:
        fields |= {
            "median_s": seconds,
            "first_quartile_s": seconds,
            "third_quartile_s": 2 * seconds,
            "step_s": [seconds],
        }
    return VariantResult(variant=variant, **fields)


def test_speeds_and_ratios_of_a_result():
    results = [
        result("jax fast", 0.5),
        result("torch", 2.0),
        result("torch tuned", 1.0),
        result("torch", 50.0, batch=8),
        result("jax fast", None, batch=8, status="failed: out of memory"),
    ]
    first = results[0]
    assert (first.sequences_per_s, first.audio_s_per_s, first.gflop_per_s) == (8, 3, 6)
    assert (first.ratio_to("torch", results), first.ratio_to("torch tuned", results)) == (0.25, 0.5)
    assert results[4].ratio_to("torch", results) is None
    peak = Peak(gflop_per_s=12.0, matrix_size=64, copy_gb_per_s=1.0)
    report = Report(results, {"float32": peak}, {})
    assert report.row(first)["peak_share"] == 0.5
    assert report.row(first)["ratio_to"] == {"torch": 0.25, "torch tuned": 0.5}
    lines = report.markdown().splitlines()
    cells = dict(zip(*([cell.strip() for cell in line.split("|")] for line in (lines[0], lines[2])), strict=True))
    expected = {
        "step (ms)": "500.0",
        "IQR (ms)": "500.0",
        "of peak (%)": "50",
        "/ torch": "0.25",
        "/ torch tuned": "0.50",
    }
    assert cells.items() >= expected.items()
    assert "failed: out of memory" in lines[6]
    assert "precision" not in cells


def test_the_summary_has_our_fastest_form_beside_pytorch():
    results = [
        result("jax plain", 0.9),
        result("jax fast", 0.5),
        result("torch", 2.0),
        result("jax fast", None, batch=8, status="failed: out of memory"),
        result("torch", 3.0, batch=8),
    ]
    header, _, *rows = summary_table(results, "caption").split("\n\n")[0].splitlines()
    assert len(rows) == 1
    cells = dict(zip(*([cell.strip() for cell in line.split("|")] for line in (header, rows[0])), strict=True))
    expected = {"batch": "4", "jax (ms)": "500.0", "torch (ms)": "2,000.0", "/ torch": "0.25", "audio s / s": "3.0"}
    assert cells.items() >= expected.items()
    assert "torch tuned (ms)" not in cells


def events(*spans, tid=1):
    return [
        {"ph": "X", "pid": 1, "tid": tid, "name": name, "ts": start, "dur": end - start, "args": {"hlo_op": name}}
        for name, start, end in spans
    ]


def test_the_time_of_an_operation_is_its_own():
    """Microseconds; the loop encloses two products, on another thread a third runs at the same time."""
    trace = events(("while", 0, 100), ("dot", 10, 40), ("dot", 50, 90), ("copy", 100, 105))
    trace += events(("dot", 20, 30), tid=2)
    trace += [{"ph": "X", "pid": 1, "tid": 3, "name": "python", "ts": 0, "dur": 1000}]
    assert operation_seconds(trace) == pytest.approx({"while": 30e-6, "dot": 80e-6, "copy": 5e-6})


def test_a_device_track_is_counted_once():
    """As on a GPU: kernels by stream, and the same again by operation."""
    names = [
        {"ph": "M", "pid": 1, "tid": 1, "name": "thread_name", "args": {"name": "Stream #7(Kernel)"}},
        {"ph": "M", "pid": 1, "tid": 2, "name": "thread_name", "args": {"name": "XLA Ops"}},
    ]
    by_operation = [{"ph": "X", "pid": 1, "tid": 2, "name": "fusion.1", "ts": 0, "dur": 50}]
    assert operation_seconds(names + events(("fusion.1", 0, 50)) + by_operation) == pytest.approx({"fusion.1": 50e-6})


def test_the_slowest_operation_is_named():
    """A product of two large matrices beside a sum of two small vectors."""

    @jax.jit
    def program(a_NN, b_N):
        with jax.named_scope("large_product"):
            product_NN = a_NN @ a_NN
        return product_NN, jnp.cumsum(b_N)

    arguments = (jnp.ones((700, 700)), jnp.ones(10))
    compiled = program.lower(*arguments).compile()
    first, *_ = slowest_operations(lambda: jax.block_until_ready(compiled(*arguments)), compiled.as_text())
    assert "large_product" in first.source
    assert "f32[700,700]" in first.kind
    assert 0.5 < first.share <= 1
    assert 0 < first.seconds < 10


def test_a_device_that_computes_something_else_is_found(monkeypatch):
    case = Case.of("dae", "train", 2, 24, "quick")
    (agreement,) = correctness.check_system(case, ["plain"])
    assert agreement.agrees
    assert max(agreement.voice, agreement.loss, agreement.gradient_norm) < 1e-5

    exact = correctness._numbers

    def wrong(case, form, device):
        found = exact(case, form, device)
        return (
            found
            if case.precision == "float64"
            else dataclasses.replace(found, gradient_norm=found.gradient_norm * 1.01)
        )

    monkeypatch.setattr(correctness, "_numbers", wrong)
    (agreement,) = correctness.check_system(case, ["plain"])
    assert not agreement.agrees
    assert agreement.gradient_norm == pytest.approx(0.01, rel=0.01)
    assert agreement.loss < 1e-5


def test_a_device_that_fails_is_named(monkeypatch):
    def fail(case, form, device):
        raise RuntimeError("INTERNAL: no kernel")

    monkeypatch.setattr(correctness, "_numbers", fail)
    (agreement,) = correctness.check_system(mad(), ["fast"])
    assert not agreement.agrees
    assert agreement.failure == "reference: RuntimeError: INTERNAL: no kernel"


def test_programs_that_do_not_fit_are_refused_before_they_run(monkeypatch):
    case = override_batch(mad(), 3)
    monkeypatch.setattr(ours, "_memory", lambda compiled: {"peak": 2**60})
    with pytest.raises(MemoryError, match=r"needs about 1073741824\.0 GiB"):
        ours.prepare(dataclasses.replace(case, mode="forward"), "plain")


def override_batch(case, batch):
    return dataclasses.replace(case, config=override(case.config, {"training.batch_size": batch}))

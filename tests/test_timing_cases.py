"""What is timed: the sizes, arithmetic, data and weights of a case, and whether the machine can do it."""

import dataclasses

import jax
import numpy as np
import pytest

pytest.importorskip("cyclopts")

from experiments.benchmarks.case import Case, make_batch
from experiments.benchmarks.throughput import ours
from experiments.benchmarks.throughput import peak as peak_module
from experiments.benchmarks.throughput.ours import timed_in
from experiments.benchmarks.throughput.peak import measure_peak
from madsep_jax.config.io import override
from madsep_jax.errors import InputError
from madsep_jax.host.memory import free_bytes, require_memory
from madsep_jax.models.variables import parameter_counts


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
    with timed_in(precision):
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
    with pytest.raises(InputError, match="--precisions: found 'tf32', which a CPU does not have"), timed_in("tf32"):
        pass


def test_the_peak_is_what_a_processor_can_do(monkeypatch):
    monkeypatch.setattr(peak_module, "_CPU_SIZES", (256,))  # tests run without optimisations
    peak = measure_peak("float32", seconds=0.05)
    assert 1 < peak.gflop_per_s < 1e7
    assert 0.5 < peak.copy_gb_per_s < 1e5
    again = peak_module.MatrixProduct("float32").gflop_per_s(seconds=0.05)
    assert peak.gflop_per_s / 10 < again < peak.gflop_per_s * 10


def test_memory_that_is_not_there():
    free = free_bytes()
    require_memory(0)
    if free is None:
        pytest.skip("the system does not tell")
    with pytest.raises(MemoryError, match=r"needs about \d+\.\d GiB, \d+\.\d GiB are free"):
        require_memory(2 * free)


def test_programs_that_do_not_fit_are_refused_before_they_run(monkeypatch):
    case = override_batch(mad(), 3)
    monkeypatch.setattr(ours, "planned_memory", lambda compiled: {"peak": 2**60})
    with pytest.raises(MemoryError, match=r"needs about 1073741824\.0 GiB"):
        ours.prepare(dataclasses.replace(case, mode="forward"), "plain")


def override_batch(case, batch):
    return dataclasses.replace(case, config=override(case.config, {"training.batch_size": batch}))

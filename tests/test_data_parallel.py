"""A training is the same on any number of devices of one process, by jit and by pmap.

The oracle is the training on one device, of one program without collectives. Trainings start from `tame_state`: from
the published start some masks are near 0, where the divergence is so steep (1e6) that float32's rounding alone, in
whatever order it adds up, leads two trainings further apart than 1e-5 within 20 steps.
"""

import numpy as np
import pytest
from parallel_runs import TOLERANCE, assert_same_training, case, run_cases

PLAIN = {"set": {"compute.operations": "plain"}, "steps": 5}
PARTS = {"set": {"training.accumulation": 2}, "steps": 5}


def assert_all_same(cases, tmp_path, dtype, reference="one"):
    found = run_cases(cases, tmp_path / "out.npz", dtype)
    assert set(found) == set(cases)
    for arrays in found.values():
        assert_same_training(arrays, found[reference], TOLERANCE[dtype])


@pytest.fixture(scope="module")
def mad(tmp_path_factory):
    """Trainings of a MaD in double precision, all in one process of eight devices."""
    cases = {
        "one": case(devices=1, system="mad", steps=5),
        "pmap": case("pmap", 8, system="mad", steps=5),
        "parts": case(devices=1, system="mad", steps=5, set={"training.accumulation": 4}),
    }
    return run_cases(cases, tmp_path_factory.mktemp("mad") / "out.npz", "float64")


@pytest.fixture(scope="module")
def dws(tmp_path_factory):
    """The same of a DWS-CNN, which takes longer to compile."""
    cases = {
        "one": case(devices=1),
        "jit": case(devices=4),
        "pmap": case("pmap", 4),
        "eight steps": case(devices=1, parallel={"steps_per_call": 8}),
    }
    return run_cases(cases, tmp_path_factory.mktemp("dws") / "out.npz", "float64")


@pytest.mark.thorough
@pytest.mark.parametrize("style", ["jit", "pmap"])
def test_four_devices_train_as_one(dws, style):
    """BatchNorm and dropout included."""
    assert len(dws["one"]["losses"]) == 20
    assert dws["one"]["losses"][-1, 0] != dws["one"]["losses"][0, 0]
    assert_same_training(dws[style], dws["one"], 1e-10)


def test_eight_devices_train_a_mad_as_one(mad):
    assert_same_training(mad["pmap"], mad["one"], 1e-10)


@pytest.mark.thorough
def test_the_recurrent_inference_ends_by_the_error_of_the_whole_batch(tmp_path):
    cases = {"one": case(devices=1, system="ris", steps=5), "jit": case(devices=4, system="ris", steps=5)}
    assert_all_same(cases, tmp_path, "float64")


def test_accumulated_gradients_are_those_of_the_whole_batch(mad):
    """Where nothing depends on the other sequences of a batch: a MaD without recurrent inference."""
    assert_same_training(mad["parts"], mad["one"], 1e-10)


@pytest.mark.thorough
def test_several_steps_in_a_call_are_the_steps_one_by_one(dws):
    """Bit for bit; 20 steps by 8 leave a smaller last call."""
    assert set(dws["eight steps"]) == set(dws["one"])
    for name, expected in dws["one"].items():
        np.testing.assert_array_equal(dws["eight steps"][name], expected, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("system", "counts"), [("dws", (1, 2, 4, 8)), ("mad", (1, 2, 4, 8)), ("ris", (8,)), ("twinnet", (8,))]
)
def test_any_number_of_devices(tmp_path, system, counts, dtype):
    cases = {"one": case(devices=1, system=system)}
    cases |= {f"{style}-{count}": case(style, count, system) for style in ("jit", "pmap") for count in counts}
    assert_all_same(cases, tmp_path, dtype)


@pytest.mark.thorough
def test_the_plain_forms_share_a_batch(tmp_path):
    """Their BatchNorm is differentiated automatically."""
    sharded = {"parameters": "sharded"}
    cases = {"one": case(devices=1, **PLAIN), "jit": case(devices=4, parallel=sharded, **PLAIN)}
    assert_all_same({**cases, "pmap": case("pmap", 2, **PLAIN)}, tmp_path, "float64")


@pytest.mark.thorough
def test_parts_of_a_batch_are_the_same_on_more_devices(tmp_path):
    """Each with BatchNorm moments and a dropout of its own."""
    assert_all_same({"one": case(devices=1, **PARTS), "jit": case(devices=4, **PARTS)}, tmp_path, "float64")


@pytest.mark.thorough
@pytest.mark.parametrize("style", ["jit", "pmap"])
def test_seeds_that_are_trained_together_share_devices(tmp_path, style):
    """The last of three on four devices is what it is alone on one."""
    more = {"steps": 5, "parallel": {"steps_per_call": 2}}
    cases = {
        "one": case(devices=1, steps=5, set={"training.seed": 2}),
        "first": case(devices=1, steps=5),
        "together": case(style, 4, seeds=3, **more),
    }
    found = run_cases(cases, tmp_path / "out.npz", "float64")
    assert_same_training(found["together"], found["one"], 1e-10)
    assert found["first"]["losses"][0, 0] != pytest.approx(found["one"]["losses"][0, 0], rel=1e-6)

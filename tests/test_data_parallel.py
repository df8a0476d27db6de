"""A training is the same on any number of devices, by jit and by pmap, in one process and in two.

The oracle is the training on one device, of one program without collectives. CPU devices are made of one processor by
XLA's flag, which a process has to be started with.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


def start(cases, path, devices, dtype, processes=None):
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)]),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_ENABLE_X64": str(int(dtype == "float64")),
        "JAX_PLATFORMS": "cpu",
    }
    cases = {name: {**case, "dtype": dtype} for name, case in cases.items()}
    argument = json.dumps({"cases": cases, "processes": processes or {}})
    command = [sys.executable, str(HERE / "data_parallel_worker.py"), argument, str(path)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process):
    output, _ = process.communicate(timeout=1200)
    assert process.returncode == 0, output[-3000:]


def arrays_of(path):
    """By case, then by name: the losses, and all of the state after the last step."""
    found = {}
    with np.load(path) as arrays:
        for key in arrays:
            case, _, name = key.partition("|")
            found.setdefault(case, {})[name] = arrays[key]
    return found


def assert_same_training(found, expected, tolerance):
    """Losses within a share of each, every array of parameters and statistics within one of its largest value."""
    assert set(found) == set(expected)
    columns = slice(0, 1)  # the loss; its parts and the gradient's norm have no tolerance stated
    np.testing.assert_allclose(found["losses"][:, columns], expected["losses"][:, columns], rtol=tolerance)
    for name in expected:
        if name.startswith((".params", ".batch_stats")):
            scale = np.abs(expected[name]).max()
            np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=tolerance * scale, err_msg=name)
    assert found[".step"] == expected[".step"]


def case(style="jit", devices=None, system="dws", **more):
    return {"system": system, "parallel": {"style": style, "devices": devices, **more.pop("parallel", {})}, **more}


def run_cases(cases, path, dtype, devices=8):
    finish(start(cases, path, devices, dtype))
    return arrays_of(path)


def compare(tmp_path, cases, dtype, reference="one"):
    """All cases are the same training."""
    found = run_cases(cases, tmp_path / "out.npz", dtype)
    for arrays in found.values():
        assert_same_training(arrays, found[reference], TOLERANCE[dtype])
    return found


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def two_processes(tmp_path, cases, dtype, devices_each):
    """The arrays of both processes."""
    coordinator = f"127.0.0.1:{free_port()}"
    paths = [tmp_path / f"{number}.npz" for number in range(2)]
    running = [
        start(cases, path, devices_each, dtype, {"coordinator": coordinator, "count": 2, "number": number})
        for number, path in enumerate(paths)
    ]
    for process in running:
        finish(process)
    return [arrays_of(path) for path in paths]


PLAIN = {"set": {"compute.operations": "plain"}, "steps": 5}
PARTS = {"set": {"training.accumulation": 2}, "steps": 5}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Trainings in double precision, all in one process of eight devices."""
    cases = {
        "one": case(devices=1),
        "jit": case(devices=4),
        "pmap": case("pmap", 4),
        "eight steps": case(devices=1, parallel={"steps_per_call": 8}),
        "ris, one": case(devices=1, system="ris", steps=5),
        "ris, jit": case(devices=4, system="ris", steps=5),
        "mad, one": case(devices=1, system="mad", steps=5),
        "mad, parts": case(devices=1, system="mad", steps=5, set={"training.accumulation": 4}),
    }
    return run_cases(cases, tmp_path_factory.mktemp("trained") / "out.npz", "float64")


@pytest.mark.parametrize("style", ["jit", "pmap"])
def test_four_devices_train_as_one(trained, style):
    """BatchNorm and dropout included."""
    assert len(trained["one"]["losses"]) == 20
    assert trained["one"]["losses"][-1, 0] != trained["one"]["losses"][0, 0]
    assert_same_training(trained[style], trained["one"], 1e-10)


def test_the_recurrent_inference_ends_by_the_error_of_the_whole_batch(trained):
    assert_same_training(trained["ris, jit"], trained["ris, one"], 1e-10)


def test_accumulated_gradients_are_those_of_the_whole_batch(trained):
    """Where nothing depends on the other sequences of a batch: a MaD without recurrent inference."""
    assert_same_training(trained["mad, parts"], trained["mad, one"], 1e-10)


def test_several_steps_in_a_call_are_the_steps_one_by_one(trained):
    """Bit for bit; 20 steps by 8 leave a smaller last call."""
    assert set(trained["eight steps"]) == set(trained["one"])
    for name, expected in trained["one"].items():
        np.testing.assert_array_equal(trained["eight steps"][name], expected, err_msg=name)


def test_two_processes_train_as_one(trained, tmp_path):
    for found in two_processes(tmp_path, {"jit": case(), "pmap": case("pmap")}, "float64", devices_each=2):
        for arrays in found.values():
            assert_same_training(arrays, trained["one"], 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_number_of_devices(tmp_path, dtype):
    cases = {"one": case(devices=1)}
    cases |= {f"{style}-{devices}": case(style, devices) for style in ("jit", "pmap") for devices in (1, 2, 4, 8)}
    cases["sharded"] = case(devices=8, parallel={"parameters": "sharded"})
    compare(tmp_path, cases, dtype)


@pytest.mark.slow
def test_two_processes_train_as_one_in_float32(tmp_path):
    expected = run_cases({"one": case(devices=1)}, tmp_path / "one.npz", "float32", devices=1)["one"]
    for found in two_processes(tmp_path, {"jit": case(), "pmap": case("pmap")}, "float32", devices_each=2):
        for arrays in found.values():
            assert_same_training(arrays, expected, TOLERANCE["float32"])


@pytest.mark.slow
def test_the_plain_forms_share_a_batch(tmp_path):
    """Their BatchNorm is differentiated automatically."""
    sharded = {"parameters": "sharded"}
    cases = {"one": case(devices=1, **PLAIN), "jit": case(devices=4, parallel=sharded, **PLAIN)}
    compare(tmp_path, {**cases, "pmap": case("pmap", 2, **PLAIN)}, "float64")


@pytest.mark.slow
def test_parts_of_a_batch_are_the_same_on_more_devices(tmp_path):
    """Each with BatchNorm moments and a dropout of its own."""
    compare(tmp_path, {"one": case(devices=1, **PARTS), "jit": case(devices=4, **PARTS)}, "float64")

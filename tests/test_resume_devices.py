"""A training goes on from a checkpoint of other devices: on one, then on four, then on one or two.

The oracles: the state on the devices is the saved one, bit for bit; the result is that of one device all along, within
a share of 1e-9 of each array's largest value (float64, nine steps).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("tensorboardX")

HERE = Path(__file__).parent
ONE = {"devices": 1}
TRAININGS = {
    "one": [[9, ONE]],
    "jit": [[3, ONE], [6, {"devices": 4}], [9, ONE]],
    "sharded": [[3, ONE], [6, {"devices": 4, "parameters": "sharded"}], [9, {"devices": 2, "parameters": "sharded"}]],
    "pmap": [[3, {"devices": 4, "style": "pmap"}], [6, ONE], [9, {"devices": 2, "style": "pmap"}]],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)]),
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4",
        "JAX_ENABLE_X64": "1",
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [sys.executable, str(HERE / "devices_worker.py"), str(folder), json.dumps(TRAININGS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name in TRAININGS if name != "one"])
def test_the_same_training_on_changing_devices(trained, name):
    with np.load(trained / "one.npz") as expected, np.load(trained / f"{name}.npz") as found:
        assert set(found) == set(expected)
        assert found[".step"] == 9
        for key in expected:
            assert found[key].dtype == expected[key].dtype != np.float32
            scale = np.abs(expected[key]).max(initial=0)
            np.testing.assert_allclose(found[key], expected[key], rtol=0, atol=1e-9 * scale, err_msg=key)

"""What can be asked for of devices and processes, and what is said of what cannot."""

import jax
import pytest
from tiny import DWS

from madsep_jax.config.io import override
from madsep_jax.config.parallel import ParallelConfig, ProcessesConfig
from madsep_jax.errors import InputError
from madsep_jax.parallel.devices import chosen_devices, sharing_devices, with_scaled_batch

BAD = [
    (lambda: ParallelConfig(style="map"), "ParallelConfig.style: found 'map', expected 'jit' or 'pmap'"),
    (lambda: ParallelConfig(style="pmap", parameters="sharded"), "parameters: found 'sharded', expected 'replicated'"),
    (lambda: ParallelConfig(devices=0), "ParallelConfig.devices: found 0, expected a positive number"),
    (lambda: ParallelConfig(steps_per_call=0), "steps_per_call: found 0, expected a positive number of steps"),
    (lambda: ProcessesConfig(coordinator="a:1"), "found coordinator, expected coordinator, count and number together"),
    (lambda: ProcessesConfig(coordinator="a", count=2, number=0), "coordinator: found 'a', expected HOST:PORT"),
    (lambda: ProcessesConfig(coordinator="a:b", count=2, number=0), "coordinator: found 'a:b', expected HOST:PORT"),
    (lambda: ProcessesConfig(timeout_s=0), "timeout_s: found 0, expected a positive number of seconds"),
    (lambda: ProcessesConfig(coordinator="a:1", count=2, number=2), "number: found 2, expected 0 to 1"),
    (lambda: override(DWS, {"training.accumulation": 3}), "accumulation: found 3, expected a divisor of the batch"),
    (lambda: chosen_devices(99), "ParallelConfig.devices: found 99, expected at most the"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_settings_are_named(make, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        make()


def test_devices_share_a_batch_equally(monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: [jax.local_devices()[0]] * 3)
    with pytest.raises(InputError, match="batch_size: found 2, expected a multiple of the 3 devices that share it"):
        sharing_devices(DWS, ParallelConfig())
    assert len(sharing_devices(override(DWS, {"training.batch_size": 6}), ParallelConfig())) == 3
    scaled = with_scaled_batch(DWS, ParallelConfig(batch="scaled"))
    assert scaled.training.batch_size == 6
    assert with_scaled_batch(DWS, ParallelConfig()) == DWS

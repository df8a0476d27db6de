"""The parts that watch a training: calls, waiting, time and memory, the log."""

import dataclasses
import json
import mmap
import time
from types import SimpleNamespace

import numpy as np
import pytest

for package in ("cyclopts", "tensorboardX", "tensorflow", "soundfile"):
    pytest.importorskip(package)

from hypothesis import given
from hypothesis import strategies as st
from tiny import GRU

from data_pipelines.batches.to_device import TimedBatches
from experiments.training import log as log_module
from experiments.training.log import Log, TrainLog, memory_in_use, read_log
from experiments.training.saving import TrainResult, finished_training
from madsep_jax.config.io import override
from madsep_jax.host.memory import process_memory
from madsep_jax.parallel.program import Program


@given(
    first=st.integers(0, 40),
    total=st.integers(0, 60),
    steps=st.integers(1, 9),
    epoch=st.one_of(st.none(), st.integers(1, 12)),
)
def test_calls_do_every_step_and_end_with_the_epochs(first, total, steps, epoch):
    sizes = list(Program(steps).call_sizes(first, total, epoch))
    ends = first + np.cumsum(sizes, dtype=int)
    assert sum(sizes) == max(total - first, 0)
    assert all(1 <= size <= steps for size in sizes)
    for start, end in zip([first, *ends], ends, strict=False):
        if epoch is not None:
            assert start // epoch == (end - 1) // epoch  # of one epoch
        assert end - start == steps or end == total or (epoch is not None and end % epoch == 0)


def test_batches_are_stacked_by_call():
    batches = [np.full(2, number) for number in range(5)]
    groups = list(Program(2).join_batches([batches], Program(2).call_sizes(0, 5)))
    assert [group[:, 0].tolist() for group in groups] == [[0, 1], [2, 3], [4]]
    assert list(Program().join_batches([batches], Program().call_sizes(0, 5))) == batches
    groups = list(Program(2, seeds=3).join_batches([batches] * 3, Program(2).call_sizes(0, 5)))
    assert [group.shape for group in groups] == [(2, 3, 2), (2, 3, 2), (1, 3, 2)]


def test_waiting_is_measured():
    """Oracle: a source that takes 20 ms for its second batch, of which the taker's own time is no part."""

    def slow():
        yield "a"
        time.sleep(0.02)
        yield "b"

    timed = TimedBatches(slow())
    assert next(timed) == "a"
    time.sleep(0.05)
    assert list(timed) == ["b"]
    first, second = timed.wait_s
    assert first < 0.02 <= second < 0.05


def test_the_steps_of_a_call_share_its_time(monkeypatch, tmp_path):
    """Oracle: by hand; calls of two, one and one steps end at 14, 15 and 19 s, and a save ends at 16 s."""
    now = iter([9.0, 10.0, 10.0, 10.5, 14.0, 14.0, 14.25, 15.0, 16.0, 16.0, 16.5, 19.0])
    monkeypatch.setattr(log_module.time, "perf_counter", lambda: next(now))
    start = SimpleNamespace(folder=tmp_path, step=0, config=override(GRU, {"training.batch_size": 6}))
    with Log([start], []) as log:
        batches = iter(log.timed("abc"))
        next(batches)
        log.write(range(1, 3), [[{"loss": 4.0}], [{"loss": 3.0}]])
        next(batches)
        log.write(range(3, 4), [[{"loss": 2.0}]])
        log.saved()
        next(batches)
        log.write(range(4, 5), [[{"loss": 1.0}]])
        assert log.step_s == 1.0  # of the second call alone: the others follow the start and a save
    lines = read_log(tmp_path, "train")
    assert [line["loss"] for line in lines] == [4.0, 3.0, 2.0, 1.0]
    assert [line["step_s"] for line in lines] == [2.0, 2.0, 1.0, 3.0]
    assert [line["sequences_per_s"] for line in lines] == [3.0, 3.0, 6.0, 2.0]
    assert [line["input_wait_s"] for line in lines] == [0.25, 0.25, 0.25, 0.5]


class Device:
    def __init__(self, now, peak):
        self._stats = {"bytes_in_use": now, "peak_bytes_in_use": peak, "bytes_limit": 9}

    def memory_stats(self):
        return self._stats


def test_memory_is_that_of_the_fullest_device():
    found = memory_in_use([Device(3, 7), Device(5, 6)])
    assert found == {"device_memory_bytes": 5, "device_peak_bytes": 7}


def test_memory_of_a_process_grows_with_what_it_holds():
    before = process_memory()
    with mmap.mmap(-1, 40 * 2**20) as held:  # of the system, and not of what this process has freed before
        np.frombuffer(held, np.uint8)[:] = 1
        after = process_memory()
    assert after.now - before.now > 30 * 2**20
    assert after.peak >= after.now


def test_a_cut_log_is_continued_with_each_step_once(tmp_path):
    with TrainLog(tmp_path, 0) as log:
        for step in (1, 2, 3):
            log.write(step, {"loss": float(step)})
            log.write_validation(step, {"loss": -float(step)})
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    with TrainLog(tmp_path, 2) as log:
        log.write(3, {"loss": 30.0})
    assert [line["loss"] for line in read_log(tmp_path, "train")] == [1.0, 2.0, 30.0]
    assert [line["step"] for line in read_log(tmp_path, "validation")] == [1, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tensorboard", "train.jsonl", "validation.jsonl"]


def test_the_result_of_earlier_trainings_is_read(tmp_path):
    content = {"steps": 3, "compile_s": 1.0, "step_s": 0.1, "total_s": 2.0}
    (tmp_path / "training.json").write_text(json.dumps(content))
    assert finished_training(tmp_path) == TrainResult(**content)
    assert not dataclasses.asdict(finished_training(tmp_path))["stopped_early"]

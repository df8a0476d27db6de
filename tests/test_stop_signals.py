"""What a signal does inside and outside of a training; wishes of several processes."""

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

pytest.importorskip("tensorboardX")
pytest.importorskip("cyclopts")

from experiments.cli.signals import Stopped, StopSignals
from madsep_jax.parallel import processes as agreement
from madsep_jax.parallel.processes import Agreement, Wishes


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_first_signal_is_noted_and_the_handlers_are_put_back(number, code):
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    with StopSignals() as signals:
        assert signals.received is None
        os.kill(os.getpid(), number)
        assert signals.received == number
        assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == [signal.SIG_DFL] * 2
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before
    assert Stopped("", signals.received).exit_code == code


def test_the_second_signal_ends_the_process():
    script = (
        "import os, signal\n"
        "from experiments.cli.signals import StopSignals\n"
        "with StopSignals():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('noted', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('still here')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "noted\n", "")


def test_other_threads_leave_the_handlers_alone():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work():
        with StopSignals() as signals:
            seen.append((signal.getsignal(signal.SIGTERM), signals.received))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, None)]
    assert signal.getsignal(signal.SIGTERM) == before


def test_long_work_is_left_at_once():
    with StopSignals() as signals:
        with pytest.raises(Stopped), signals.ending_at_once():
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped), signals.ending_at_once():
            pytest.fail("begins")


def test_one_process_agrees_with_itself():
    assert Agreement(0).on(1, Wishes(save=True)) == Wishes(save=True)


@pytest.fixture
def two_processes(monkeypatch):
    """The other process wishes what the test puts here; a step takes so many seconds."""
    other, clock = {"wishes": Wishes(), "step_s": 0.1, "meetings": []}, [0.0]

    def gather(own):
        other["meetings"].append(clock[0])
        return np.stack([own, np.array([*other["wishes"], 99.0], np.float32)])

    monkeypatch.setattr(agreement.jax, "process_count", lambda: 2)
    monkeypatch.setattr(agreement.multihost_utils, "process_allgather", gather)
    monkeypatch.setattr(agreement.time, "perf_counter", lambda: clock[0])

    def run(both, steps, wishes=lambda step: Wishes()):
        for step in steps:
            clock[0] += other["step_s"]
            yield step, both.on(step, wishes(step))

    return other, run


def test_what_one_wants_is_done_by_all_at_the_next_meeting(two_processes):
    other, run = two_processes
    both = Agreement(10)
    assert [step for step, agreed in run(both, range(11, 100)) if any(agreed)] == []
    other["wishes"] = Wishes(stop=True)
    found = [(step, agreed) for step, agreed in run(both, range(100, 140)) if any(agreed)]
    assert found[0][1] == Wishes(stop=True)
    assert found[0][0] < 120 + 1


def test_they_meet_every_two_seconds(two_processes):
    other, run = two_processes
    list(run(Agreement(0), range(1, 2001)))
    assert other["meetings"][0] == pytest.approx(0.1)
    apart = np.diff(other["meetings"])
    assert apart.max() < 2.1
    assert apart[-1] == pytest.approx(2.0, abs=0.11)


def test_slow_steps_meet_at_each(two_processes):
    other, run = two_processes
    other["step_s"] = 5.0
    list(run(Agreement(0), range(1, 10)))
    assert len(other["meetings"]) == 9


def test_fast_first_steps_do_not_put_the_meeting_off_for_long(two_processes):
    """As where steps are only sent off at first, and not done."""
    other, run = two_processes
    both, other["step_s"] = Agreement(0), 1e-6
    list(run(both, range(1, 4)))
    other["step_s"] = 10.0
    list(run(both, range(4, 50)))
    assert max(np.diff(other["meetings"])) <= 50

"""What a signal does inside and outside of a training; wishes of several processes."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from sources import ROOT

pytest.importorskip("tensorboardX")
pytest.importorskip("cyclopts")

from experiments.cli.signals import Stopped, StopSignals
from madsep_jax.parallel import processes as agreement
from madsep_jax.parallel.processes import Agreement, Wishes


@pytest.fixture(autouse=True)
def heeded():
    """Tests that a script runs in the background, and the processes that they start, would ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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


def test_a_signal_amid_an_import_is_not_raised_there(tmp_path):
    """Modules in C, jaxlib's and NumPy's among them, crash where an exception is raised while they are made."""
    module = (
        "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept BaseException:\n    print('raised')"
    )
    (tmp_path / "made_of_c.py").write_text(module)
    script = "from experiments.cli.signals import Guard\nGuard('tool')\nimport made_of_c"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "tool: interrupted\n")


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


COMMAND = """
import os, signal, sys, time
from pathlib import Path
from cyclopts import App
from experiments.cli.command import run
from experiments.cli.signals import keeps, unhurried
from madsep_jax.separator.stem_files import written_together
from madsep_jax.host.files import written_aside

app = App(name="tool")

def swallow():
    try:
        time.sleep(30)
    except BaseException:
        time.sleep(30)

def fail():
    try:
        time.sleep(30)
    except BaseException:
        raise ImportError("numpy.core.multiarray failed to import")

def last():
    try:
        time.sleep(30)
    finally:
        with unhurried():
            time.sleep(1.5)
            print("came to its end", flush=True)

class Late:  # Python ends its objects after its handlers of signals
    def __del__(self, kill=os.kill, number=os.getpid()):
        kill(number, 2)

def pair():
    places = {stem: Path(stem) for stem in ("one", "two")}
    replace = os.replace
    def replace_first(*paths):
        os.replace = replace
        replace(*paths)
        os.kill(os.getpid(), signal.SIGINT)
    os.replace = replace_first
    with written_together(Path("."), places, finishing=unhurried) as files:
        for stem, file in files.items():
            file.write_text(stem)
    print("not reached", flush=True)

@app.default
def tool(case: str):
    if case == "over":
        sys.late = Late()
        return 3
    with written_aside(Path("result")) as aside:
        aside.write_text("half")
        if case == "keep":
            keeps()
        print("begun", flush=True)
        {"swallow": swallow, "fail": fail, "last": last, "pair": pair}.get(case, lambda: time.sleep(30))()

sys.exit(run(app))
"""


@pytest.mark.parametrize(
    ("case", "number", "said"),
    [
        ("sleep", signal.SIGINT, "interrupted"),
        ("sleep", signal.SIGTERM, "terminated"),
        ("swallow", signal.SIGINT, "interrupted"),
        ("fail", signal.SIGINT, "interrupted"),
        ("keep", signal.SIGINT, "interrupted; start the same command again to continue"),
        ("last", signal.SIGINT, "interrupted"),
    ],
)
def test_a_signal_ends_a_command_in_one_line_and_leaves_nothing_half_written(tmp_path, case, number, said):
    """Whatever the code that is interrupted makes of it."""
    command = [sys.executable, "-c", COMMAND, case]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.3)  # it is in what is to be interrupted
        process.send_signal(number)
        start = time.monotonic()
        out, err = process.communicate(timeout=20)
    assert time.monotonic() - start < (5 if case == "last" else 3)
    assert (process.returncode, err) == (128 + number, f"tool: {said}\n")
    assert out == ("came to its end\n" if case == "last" else "")
    assert list(tmp_path.iterdir()) == []


def run_tool(folder, case):
    command, environment = [sys.executable, "-c", COMMAND, case], {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def test_a_signal_between_two_renames_waits_for_the_second(tmp_path):
    done = run_tool(tmp_path, "pair")
    assert (done.returncode, done.stdout, done.stderr) == (130, "begun\n", "tool: interrupted\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_signal_after_the_end_changes_nothing(tmp_path):
    """The command has said all and has its exit code; Python is taking itself apart."""
    done = run_tool(tmp_path, "over")
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")


#: Commands that need no checkpoint, and what each is asked for.
LONG = {
    "ablation": [],
    "prepare": ["embedded", "--data-dir", "sets", "--processes", "2"],
    "throughput": ["--preset", "quick"],
    "scaling": [],
    "evaluation_speed": [],
}


@pytest.mark.slow
@pytest.mark.parametrize("command", LONG)
def test_a_command_ends_within_two_seconds_at_any_moment_of_the_first_five(tmp_path, command):
    """16 moments from a seed; the terminal sends the signal to all processes of the command."""
    moments, environment = random.Random(command), {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": "cache"}
    for number in range(16):
        moment, folder = moments.uniform(0.05, 5.0), tmp_path / str(number)
        folder.mkdir()
        with subprocess.Popen(
            [sys.executable, "-m", f"experiments.{command}", *LONG[command]],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            time.sleep(moment)
            os.killpg(process.pid, signal.SIGINT)
            start = time.monotonic()
            _, err = process.communicate(timeout=20)
        about = f"after {moment:.2f} s: {err}"
        assert process.returncode == 130, about
        assert err.count("\n") == 1, about
        assert time.monotonic() - start < 2, about
        assert not list(folder.rglob(".*.partial")), about


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

"""Train a tiny system in this process; what the tests of interruptions start, kill, and start again.

Arguments: the folder, and a JSON object of what differs from the usual run; or none, to serve many requests, see
`serve`. Prints a line for each step where `"talk"` is given. `"kill"` is [after how many steps of this process, how
many seconds later]: then it kills itself; with None for the steps, they count from before the checkpoint is read.
`"float64"` is for a training that can be compared to many digits (`tame_state`).
"""

import json
import os
import resource
import signal
import sys
import threading
from pathlib import Path

import jax
import numpy as np
from tame_state import tame_state
from tiny import DWS, GRU, SIGNAL

from data_pipelines.batches.sources import SongSpectrograms
from data_pipelines.songs.spectrograms import TrackFeatures
from experiments.cli.command import run
from experiments.training import saving
from experiments.training.loop import How, train
from madsep_jax.config.io import override
from madsep_jax.config.parallel import ParallelConfig, ProcessesConfig
from madsep_jax.config.training import SavingConfig
from madsep_jax.parallel.processes import join_processes
from madsep_jax.train.step import init_state

STEPS = 200


def config_of(case):
    changes = {"training.steps": case.get("steps", STEPS), "training.learning_rate": 1e-3, **case.get("set", {})}
    return override({"dws": DWS, "gru": GRU}[case.get("system", "dws")], changes)


class Songs(SongSpectrograms):
    """Gives batches of a type."""

    dtype = "float32"

    def silence(self, size):
        return jax.tree.map(lambda array: array.astype(self.dtype), super().silence(size))


def train_in_float64():
    """All trainings of this process, from a tame start. JAX_ENABLE_X64 has to be set."""
    Songs.dtype, saving.init_state = "float64", tame_start


def tame_start(config):
    return tame_state(init_state(config), Songs.dtype)


def songs(config):
    """Ten sequences in all: five steps an epoch."""
    random = np.random.default_rng(3)
    frames = [9, 14, 5]
    return Songs(
        [
            TrackFeatures(f"song {number}", mix_MF, mix_MF * (np.arange(SIGNAL.bins) % 2).astype(np.float32))
            for number, mix_MF in enumerate(
                random.gamma(0.5, 1.0, (count, SIGNAL.bins)).astype(np.float32) for count in frames
            )
        ],
        config.sequences,
    )


def end_later(seconds, number):
    timer = threading.Timer(seconds, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()


def work(folder, case):
    join_processes(ProcessesConfig(**case.get("processes", {})))
    number = getattr(signal, case.get("signal", "SIGKILL"))
    after, delay = case.get("kill", (-1, 0.0))
    if after is None:
        end_later(delay, number)
    seen = 0

    def on_step(step, metrics):
        nonlocal seen
        seen += 1
        if case.get("talk"):
            print(f"step {step}", flush=True)
        if seen == after:
            end_later(delay, number)

    if "file_bytes" in case:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (case["file_bytes"], resource.RLIM_INFINITY))
    if case.get("float64"):
        train_in_float64()
    config = config_of(case)
    options = SavingConfig(**{"save_every_steps": 7, **case.get("saving", {})})
    how = How(ParallelConfig(**case.get("parallel", {})), options)
    train([config], [Path(folder)], songs(config), on_step, how)


class Command:
    """A command as `experiments.cli.command.run` takes it."""

    name, subapps = ("worker",), ()

    def __init__(self, folder, case):
        self.work = folder, case

    def __call__(self, argv, **options):
        return work(*self.work)


def serve():
    """Run each request in a process of its own, forked from this one, where all imports are done already.

    A request is a line of JSON: folder, case, and a file for the output and for the errors. Answers are a line with the
    process's number, and one with its exit code.
    """
    import data_pipelines.tensorflow_cpu  # noqa: F401

    print("ready", flush=True)
    for line in sys.stdin:
        folder, case, *files = json.loads(line)
        child = os.fork()
        if child == 0:
            for number, path in enumerate(files, 1):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            code = run(Command(folder, case))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(run(Command(sys.argv[1], json.loads(sys.argv[2]))))
    serve()

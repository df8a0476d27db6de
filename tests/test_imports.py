"""The library alone: it imports and trains where none of the optional packages is installed, and reads no argv."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sources import SOURCES, imports, package_of, tree

HERE = Path(__file__).parent
LIBRARY = [name for name in SOURCES if package_of(name) == "madsep_jax"]
OPTIONAL = (
    "av",
    "cyclopts",
    "matplotlib",
    "museval",
    "soundfile",
    "soxr",
    "tensorboardX",
    "tensorflow",
    "tensorflow_datasets",
)
BLOCK = f"""
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in {OPTIONAL} else super().find_spec(name, path, target)

sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
"""
TRAIN = """
import numpy as np
import madsep_jax
from tiny import GRU, RunConfig
from madsep_jax import train

state = train.init_state(GRU)
step, _ = train.compile_train_step(GRU, state)
losses = []
batch = train.Batch(np.ones((2, 8, 81), np.float32), np.full((2, 4, 81), 0.5, np.float32))
state = train.fit(state, step, [batch] * 3, lambda number, values: losses.append(values["loss"]))
assert losses[2] < losses[0], losses
madsep_jax.Separator(GRU, state.variables).save("model")
separator = madsep_jax.Separator.load("model", device="cpu")
song_NC = np.random.default_rng(0).uniform(-0.5, 0.5, (300, 2)).astype(np.float32)
stems = separator.separate(song_NC, 8000)
pieces = separator.stream([song_NC], 8000, how=separator.how([song_NC]))
assert np.abs(np.concatenate([piece.voice_NC for piece in pieces]) - stems.voice_NC).max() < 1e-5
open("song.wav", "wb").write(b"RIFF")
separate, write = separator.separate, stems.write
for method, arguments in ((separate, ["song.wav"]), (separate, [song_NC, 44100]), (write, ["out"])):
    try:
        method(*arguments)
    except madsep_jax.InputError as error:
        print(error)
"""


def run(code, folder=None):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120)


def test_trains_and_separates_without_the_optional_packages(tmp_path):
    """Arrays, streams and checkpoints; where sound files or other rates are asked for, one line names the extra."""
    done = run(BLOCK + TRAIN, tmp_path)
    assert done.returncode == 0, done.stderr
    needed = [line.partition("package ")[2] for line in done.stdout.splitlines()]
    assert needed == [f'{name}: pip install "madsep-jax[audio]"' for name in ("soundfile", "soxr", "soundfile")]


def test_every_module_imports_without_the_optional_packages():
    done = run(BLOCK + f"import importlib\nfor name in {LIBRARY}: importlib.import_module(name)")
    assert done.returncode == 0, done.stderr


def test_the_block_blocks():
    done = run(BLOCK + "import soundfile")
    assert "ModuleNotFoundError: No module named 'soundfile'" in done.stderr


@pytest.mark.parametrize("name", LIBRARY)
def test_sources(name):
    """No import of museval or argparse; no argv, printing or exit."""
    assert not {package_of(other) for other in imports(name)} & {"museval", "argparse"}
    names = {node.attr for node in ast.walk(tree(name)) if isinstance(node, ast.Attribute)}
    names |= {node.id for node in ast.walk(tree(name)) if isinstance(node, ast.Name)}
    assert not names & {"argv", "print", "exit", "input"}

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

class Block:
    def find_spec(self, name, path=None, target=None):
        if any(name == blocked or name.startswith(blocked + ".") for blocked in {OPTIONAL}):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Block())
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
samples_NC = np.ones((50, 1), np.float32)
assert madsep_jax.separate(GRU, state.variables, samples_NC, GRU.signal.sample_rate).voice_NC.shape == (50, 1)
"""


def run(code):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)


def test_trains_and_separates_without_the_optional_packages():
    done = run(BLOCK + TRAIN)
    assert done.returncode == 0, done.stderr


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

"""The library alone: it imports and trains where none of the optional packages is installed, and reads no argv."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SOURCES = sorted((HERE.parent / "madsep_jax").rglob("*.py"))
OPTIONAL = (
    "cyclopts",
    "matplotlib",
    "museval",
    "soundfile",
    "soxr",
    "tabulate",
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
    names = [".".join(path.relative_to(HERE.parent).with_suffix("").parts) for path in SOURCES]
    done = run(BLOCK + f"import importlib\nfor name in {names}: importlib.import_module(name)")
    assert done.returncode == 0, done.stderr


def test_the_block_blocks():
    done = run(BLOCK + "import soundfile")
    assert "ModuleNotFoundError: No module named 'soundfile'" in done.stderr


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(HERE.parent)))
def test_sources(path):
    """No import of TensorFlow, museval or the rest of the project; no argv, printing or exit."""
    forbidden = {"tensorflow", "tensorflow_datasets", "museval", "data_pipelines", "experiments", "argparse"}
    assert not {name.partition(".")[0] for name in imports(path)} & forbidden
    names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    names |= {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
    assert not names & {"argv", "print", "exit", "input"}


def test_the_sources_were_found():
    assert {"step.py", "mad.py", "state_dict.py"} <= {path.name for path in SOURCES}


def test_tensorflow_is_imported_in_one_module():
    importing = [
        path.name
        for folder in ("data_pipelines", "experiments")
        for path in (HERE.parent / folder).rglob("*.py")
        if any(name.partition(".")[0] == "tensorflow" for name in imports(path))
    ]
    assert importing == ["tensorflow_cpu.py"]

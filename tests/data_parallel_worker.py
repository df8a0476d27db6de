"""Train a tiny system for some steps in this process; what the tests of data parallelism start.

Arguments: a JSON object of what to run, and the .npz file to write. Prints nothing.
"""

import dataclasses
import json
import sys

import jax
import numpy as np
from tame_state import tame_state
from tiny import DWS, GRU, magnitudes

from madsep_jax.config import ParallelConfig, ProcessesConfig
from madsep_jax.config_io import override
from madsep_jax.fitting import fit_seeds
from madsep_jax.parallel import make_layout
from madsep_jax.parallel.layout import compile_layout
from madsep_jax.parallel.processes import join_processes, process_shard
from madsep_jax.parallel.program import group_steps
from madsep_jax.train import Batch, init_state

SYSTEMS = {
    "dws": {},
    "mad": {},
    "ris": {"masker.recurrent_iterations": 3, "masker.recurrent_tolerance": 1e-3},
}


def batch(number, config):
    size, sequences, bins = config.training.batch_size, config.sequences, config.signal.bins
    mix_BSF = magnitudes(size, sequences.frames, bins, seed=number)
    middle = slice(sequences.context, sequences.context + sequences.target_frames)
    return Batch(mix_BSF, mix_BSF[:, middle] * (np.arange(bins) % 2).astype(np.float32))


def train(case):
    """Losses of all steps, and the state after the last."""
    base = DWS if case["system"] == "dws" else GRU
    changes = {
        "training.batch_size": 8,
        "training.learning_rate": 1e-4,
        **SYSTEMS[case["system"]],
        **case.get("set", {}),
    }
    config = override(base, changes)
    parallel = ParallelConfig(**case.get("parallel", {}))
    dtype = case.get("dtype", "float32")
    number, count = process_shard()

    def own(array):
        size = len(array) // count
        return array[number * size : (number + 1) * size].astype(dtype)

    steps = case.get("steps", 20)
    batches = [jax.tree.map(own, batch(step, config)) for step in range(steps)]
    layout = make_layout(config, parallel)
    state = layout.place_state(tame_state(init_state(config), dtype))
    placed = (layout.place_batch(group) for group in group_steps(batches, parallel.steps_per_call))
    first = layout.place_batch(next(group_steps(batches, parallel.steps_per_call)))
    program, _ = compile_layout(layout, state, first)
    losses = []

    def report(_, values):
        losses.append(list(values[0].values()))

    state = fit_seeds(state, program, placed, report, lambda step: False, lambda state: None, done=0)
    return np.array(losses), layout.whole_state(state)


def main(cases, path):
    arrays = {}
    for name, case in cases["cases"].items():
        losses, state = train(case)
        state = dataclasses.replace(state, dropout_key=jax.random.key_data(state.dropout_key), gradient=None)
        leaves = jax.tree_util.tree_leaves_with_path(state)
        arrays |= {f"{name}|{jax.tree_util.keystr(key)}": np.asarray(leaf) for key, leaf in leaves}
        arrays[f"{name}|losses"] = losses
    np.savez(path, **arrays)


if __name__ == "__main__":
    cases = json.loads(sys.argv[1])
    join_processes(ProcessesConfig(**cases.get("processes", {})))
    main(cases, sys.argv[2])

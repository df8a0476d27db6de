"""Train a tiny system for some steps in this process; what the tests of data parallelism start.

Arguments: a JSON object of what to run, and the .npz file to write. Prints nothing.
"""

import dataclasses
import json
import sys
from pathlib import Path

import jax
import numpy as np
from tame_state import tame_state
from tiny import DWS, GRU, magnitudes

from madsep_jax.checkpoint.folder import save_checkpoint
from madsep_jax.config.io import override
from madsep_jax.config.parallel import ParallelConfig, ProcessesConfig
from madsep_jax.parallel import make_layout
from madsep_jax.parallel.layout import compile_layout
from madsep_jax.parallel.processes import join_processes, process_shard
from madsep_jax.parallel.program import Program
from madsep_jax.train.batch import Batch
from madsep_jax.train.running import Running
from madsep_jax.train.step import init_state

SYSTEMS = {
    "dws": {},
    "mad": {},
    "twinnet": {"masker.twin": True},
    "ris": {"masker.recurrent_iterations": 3, "masker.recurrent_tolerance": 1e-3},
}


def batch(number, config):
    size, sequences, bins = config.training.batch_size, config.sequences, config.signal.bins
    mix_BSF = magnitudes(size, sequences.frames, bins, seed=number)
    middle = slice(sequences.context, sequences.context + sequences.target_frames)
    return Batch(mix_BSF, mix_BSF[:, middle] * (np.arange(bins) % 2).astype(np.float32))


def train(case):
    """Losses of all steps; the state after the last, and the share of it that each device has; by name.

    Of several seeds that are trained together, the last one's.
    """
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

    steps, seeds = case.get("steps", 20), case.get("seeds", 1)
    batches = [jax.tree.map(own, batch(step, config)) for step in range(steps)]
    program = Program(parallel.steps_per_call, seeds)
    layout = make_layout(config, parallel, program)
    configs = [override(config, {"training.seed": config.training.seed + number}) for number in range(seeds)]
    states = [tame_state(init_state(one), dtype) for one in configs]
    state = layout.place_state(program.join_states(states))
    first = layout.place_batch(next(program.join_batches([batches] * seeds)))
    call, _ = compile_layout(layout, state, first)
    losses = []
    run = Running(state, call, seeds=seeds)
    for group in program.join_batches([batches] * seeds):
        run.advance(layout.place_batch(group))
        for _, by_step in run.reports(keep=0):
            losses += [list(by_seed[-1].values()) for by_seed in by_step]
    shares = {f"share of {name}": share_of(leaf) for name, leaf in named(run.state).items()}
    whole = program.split_states(layout.whole_state(run.state))[-1]
    if "checkpoint" in case:
        save_checkpoint(Path(case["checkpoint"]), config, whole)
    arrays = {name: np.asarray(leaf) for name, leaf in named(whole).items()}
    return {"losses": np.array(losses), **shares, **arrays}


def named(state):
    state = dataclasses.replace(state, dropout_key=jax.random.key_data(state.dropout_key), gradient=None)
    return {jax.tree_util.keystr(key): leaf for key, leaf in jax.tree_util.tree_leaves_with_path(state)}


def share_of(leaf):
    """How much of an array each device has; pmap's has an axis of the devices."""
    return np.array(leaf.addressable_shards[0].data.size / leaf.size)


def main(cases, path):
    arrays = {}
    for name, case in cases["cases"].items():
        arrays |= {f"{name}|{key}": array for key, array in train(case).items()}
    np.savez(path, **arrays)


if __name__ == "__main__":
    cases = json.loads(sys.argv[1])
    join_processes(ProcessesConfig(**cases.get("processes", {})))
    main(cases, sys.argv[2])

"""Training: from a batch to a step, and a loop over batches of arrays."""

from madsep_jax.train.batch import Batch, Metrics, TrainState, TrainStep, WaveformBatch, zero_batch
from madsep_jax.train.optimizer import make_optimizer
from madsep_jax.train.running import NonFiniteLossError, fit
from madsep_jax.train.step import compile_train_step, init_state, jit_train_step, make_train_step
from madsep_jax.train.whole import Trained, train

__all__ = [
    "Batch",
    "Metrics",
    "NonFiniteLossError",
    "TrainState",
    "TrainStep",
    "Trained",
    "WaveformBatch",
    "compile_train_step",
    "fit",
    "init_state",
    "jit_train_step",
    "make_optimizer",
    "make_train_step",
    "train",
    "zero_batch",
]

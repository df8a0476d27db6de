"""Our side: programs compiled ahead of time, in the same arithmetic as the other side's."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.case import Case, Form, Precision, PreparedCase, Runs, make_batch
from experiments.benchmarks.rounds import timed
from madsep_jax.config.io import override
from madsep_jax.config.run import RunConfig
from madsep_jax.errors import InputError
from madsep_jax.host.compiler import compiler_options
from madsep_jax.host.memory import planned_memory, require_memory
from madsep_jax.models import build_model
from madsep_jax.models.variables import inference_variables
from madsep_jax.ops.choice import runs_fast, target_of
from madsep_jax.ops.precision import double_precision
from madsep_jax.train.batch import TrainState, zero_batch
from madsep_jax.train.step import init_state, jit_train_step, make_train_step


def forward_of(config: RunConfig) -> Callable[[Any, jax.Array], jax.Array]:
    """Return inference as it is timed: of `inference_variables` and mag_BSF, to voice_BTF."""
    model = build_model(config.model)
    return lambda variables, mag_BSF: model.apply(variables, mag_BSF, train=False).voice_BTF  # type: ignore[union-attr]


def initial_state(config: RunConfig, dtype: np.dtype, device: jax.Device | None = None) -> TrainState:
    """Return a state before training, a copy of its own; the same weights for every batch size, length and form.

    It is on the given device, or on JAX's own.
    """
    state = _with_gradient(_state(_least(config)), config)
    return _copy(state if device is None else jax.device_put(state, device), dtype)


def _with_gradient(state: TrainState, config: RunConfig) -> TrainState:
    """Add what the fast optimiser has beside."""
    gradient = jax.tree.map(jnp.zeros_like, state.params) if runs_fast("optimizer", config.compute) else None
    return dataclasses.replace(state, gradient=gradient)


def _copy(state: TrainState, dtype: np.dtype) -> TrainState:
    dtypes = jax.tree.map(lambda leaf: dtype if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf.dtype, state)
    return jax.tree.map(functools.partial(jnp.array, copy=True), state, dtypes)


def _least(config: RunConfig) -> RunConfig:
    """Return the same system without what its weights do not depend on."""
    sizes = {"training.batch_size": 1, "sequences.frames": 2 * config.sequences.context + 1}
    return override(config, {**sizes, "compute.operations": "plain", "compute.precision": "float32"})


@functools.lru_cache(maxsize=4)
def _state(config: RunConfig) -> TrainState:
    with double_precision(False), jax.default_device(jax.devices()[0]):
        return init_state(config)


@dataclass(frozen=True)
class Program:
    """A case in one form, compiled, without data."""

    compiled: Any
    compile_s: float | None
    """To trace, lower and compile."""


def compile_program(case: Case, form: Form) -> Program:
    """Compile a case in one form, a train step so that it gives its state's buffers up. In the case's precision."""
    config = case.with_form(form)
    with double_precision(False):
        state = jax.eval_shape(lambda: init_state(_least(config)))
    state = jax.eval_shape(lambda state: _copy(_with_gradient(state, config), case.dtype), state)
    batch, options = jax.eval_shape(lambda: zero_batch(config)), compiler_options(target_of(config.compute))
    if case.mode == "train":
        function, arguments = jit_train_step(make_train_step(config), options), (state, batch)
    else:
        function = jax.jit(forward_of(config), compiler_options=options)
        variables = jax.eval_shape(lambda variables: inference_variables(config, variables), state.variables)
        arguments = (variables, batch.mix_BSF)
    return Program(*timed(lambda: function.lower(*arguments).compile()))


def prepare(case: Case, form: Form, program: Program | Exception | None = None) -> PreparedCase:
    """Compile a case in one form where it is not yet, and run it once.

    This, and each run of the result, is to be done in the case's precision.

    Raises:
        Exception: the one given as a program.
    """
    if isinstance(program, Exception):
        raise program
    program = program or compile_program(case, form)
    compiled = program.compiled
    memory = planned_memory(compiled)
    if jax.default_backend() == "cpu":
        require_memory(memory.get("peak", 0))
    config = case.with_form(form)
    state = initial_state(config, case.dtype)
    batch = jax.tree.map(jnp.asarray, make_batch(case.config, case.dtype))
    trains = case.mode == "train"
    arguments = (state, batch) if trains else (inference_variables(config, state.variables), batch.mix_BSF)
    runs = Runs(compiled, arguments, trains)
    first = runs.run()
    return PreparedCase(
        run=runs.run,
        output_BTF=None if trains else np.asarray(first),
        compile_s=program.compile_s,
        memory=memory,
        program_text=compiled.as_text,
        accessed_bytes=_accessed_bytes(compiled),
    )


def _accessed_bytes(compiled: Any) -> float | None:
    analysis = compiled.cost_analysis()
    return analysis.get("bytes accessed") if isinstance(analysis, dict) else None


@contextlib.contextmanager
def timed_in(precision: Precision) -> Iterator[None]:
    """Let JAX trace and compile in a precision.

    float32 is that in matrix products and convolutions too, where JAX's default on a GPU is tf32.

    Raises:
        InputError: where the backend has no such arithmetic.
    """
    backend = jax.default_backend()
    if precision == "tf32" and backend == "cpu":
        raise InputError("--precisions: found 'tf32', which a CPU does not have; expected 'float32' or 'float64'")
    if precision == "float64" and backend == "tpu":
        raise InputError("--precisions: found 'float64', which a TPU does not have; expected 'float32'")
    with contextlib.ExitStack() as stack:
        if precision == "float64":
            stack.enter_context(double_precision())
        elif backend != "cpu" and precision != "bfloat16":  # of which the training's configuration has charge
            stack.enter_context(jax.default_matmul_precision("highest" if precision == "float32" else "tensorfloat32"))
        yield

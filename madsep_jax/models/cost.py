"""Floating-point operations of a program, by XLA's own count."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core as jex_core

from madsep_jax.config.io import override
from madsep_jax.config.run import ModelConfig, RunConfig
from madsep_jax.models import build_model
from madsep_jax.models.variables import variable_shapes


def flops(function: Callable[..., Any], *args: Any) -> float:
    """Return the floating-point operations of one call.

    XLA's cost analysis counts the body of a loop once; here it counts as often as the loop runs. The arguments are
    arrays, or `jax.ShapeDtypeStruct`s.
    """
    return _flops_of(jax.make_jaxpr(function)(*args))


def forward_gflop_per_second(config: RunConfig) -> float:
    """Return the GFLOP that the model's forward pass takes for one second of audio, the context frames included.

    A loop without a fixed end, the recurrent inference's, is counted with all its turns, the most that it takes.
    """
    frames = config.sequences.frames
    forward = _forward_flops(config.model, frames)
    if turns := getattr(config.masker, "recurrent_iterations", 0):
        # `flops` counts a loop without a fixed end once, like one turn.
        without = _forward_flops(override(config, {"masker.recurrent_iterations": 0}).model, frames)
        forward = without + turns * (forward - without)
    seconds = config.sequences.target_frames / config.signal.frames_per_second
    return forward / seconds / 1e9


@functools.cache
def _forward_flops(model: ModelConfig, frames: int) -> float:
    """Count once what all seeds of a system have."""
    return flops(
        lambda variables, mag_BSF: build_model(model).apply(variables, mag_BSF, train=False),
        variable_shapes(model),
        jax.ShapeDtypeStruct((1, frames, model.bins), jnp.float32),
    )


def _flops_of(program: jex_core.ClosedJaxpr) -> float:
    return _counted_once(program) + sum(
        runs * _flops_of(body) - _counted_once(body) for runs, body in _loops(program.jaxpr)
    )


def _counted_once(program: jex_core.ClosedJaxpr) -> float:
    """XLA's own count, in which the body of a loop counts once, and so does that of a loop within it."""
    arguments = [jax.ShapeDtypeStruct(variable.aval.shape, variable.aval.dtype) for variable in program.jaxpr.invars]
    analysis = jax.jit(jex_core.jaxpr_as_fun(program)).lower(*arguments).cost_analysis()
    return float((analysis or {}).get("flops", 0.0))


def _loops(program: jex_core.Jaxpr) -> list[tuple[int, jex_core.ClosedJaxpr]]:
    """List the outermost loops of a program: how often each runs, and its body."""
    found: list[tuple[int, jex_core.ClosedJaxpr]] = []
    for equation in program.eqns:
        if equation.primitive.name == "scan":
            found.append((equation.params["length"], equation.params["jaxpr"]))
            continue
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if isinstance(inner, jex_core.Jaxpr):
                found += _loops(inner)
    return found

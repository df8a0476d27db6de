"""Whether a device computes what the CPU computes in double precision."""

import functools
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

import jax
import numpy as np

from experiments.benchmarks.case import Case, Form, make_batch
from experiments.benchmarks.equality import largest_difference, small_case
from experiments.benchmarks.rounds import reason
from experiments.benchmarks.throughput.ours import forward_of, initial_state, timed_in
from madsep_jax.models import build_model
from madsep_jax.ops.precision import double_precision
from madsep_jax.train.step import make_train_step

TOLERANCE = 1e-3

#: Added to the biases of the layers whose ReLU ends in a mask or an estimate.
_RAISED_BIAS = 5.0


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """One system in one form. Differences are shares of the reference's largest value."""

    system: str
    form: str
    voice: float | None = None
    """Of the estimate, in inference."""
    loss: float | None = None
    """Of the first training step."""
    gradient_norm: float | None = None
    failure: str | None = None

    @property
    def agrees(self) -> bool:
        """Whether all of it is within the tolerance."""
        found = (self.voice, self.loss, self.gradient_norm)
        return self.failure is None and all(value is not None and value <= TOLERANCE for value in found)

    @property
    def verdict(self) -> str:
        """In words."""
        found = {"voice": self.voice, "loss": self.loss, "gradient": self.gradient_norm}
        differences = ", ".join(f"{name} {value:.1e}" for name, value in found.items() if value is not None)
        return self.failure or f"{'agrees' if self.agrees else 'DIFFERS'} ({differences})"

    def row(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {**asdict(self), "agrees": self.agrees, "verdict": self.verdict}


def check_system(case: Case, forms: Sequence[Form]) -> list[Agreement]:
    """Compute the case's system on a small batch, without dropout: on the default device in float32, in each form, and
    in float64 on the CPU in the plain form.

    Where an estimate is near 0 the gradient of the Kullback-Leibler divergence multiplies rounding errors. The biases
    of the last layers are therefore raised, so that what is compared is the arithmetic.
    """
    small = small_case(case)
    try:
        exact = small.changed({"compute.target": "cpu"}, precision="float64")
        reference = _numbers(exact, "plain", jax.local_devices(backend="cpu")[0])
    except (RuntimeError, MemoryError) as error:
        why = f"reference: {reason(error)}"
        return [Agreement(system=case.system, form=form, failure=why) for form in forms]
    return [_compare(replace(small, precision="float32"), form, reference) for form in forms]


def check_systems(cases: Sequence[Case], forms: Sequence[Form]) -> list[Agreement]:
    """Check several systems; their programs are compiled side by side."""
    with ThreadPoolExecutor(len(cases)) as pool:
        return [row for rows in pool.map(lambda case: check_system(case, forms), cases) for row in rows]


def _compare(case: Case, form: Form, reference: dict[str, Any]) -> Agreement:
    try:
        found = _numbers(case, form, jax.devices()[0])
    except (RuntimeError, MemoryError) as error:
        return Agreement(system=case.system, form=form, failure=reason(error))
    differences: dict[str, Any] = {name: largest_difference(found[name], reference[name]) for name in reference}
    return Agreement(system=case.system, form=form, **differences)


def _numbers(case: Case, form: Form, device: jax.Device) -> dict[str, Any]:
    config = case.with_form(form)
    precision = double_precision() if case.precision == "float64" else timed_in(case.precision)
    with jax.default_device(device), precision:
        state = initial_state(config, case.dtype, device)
        raise_bias = functools.partial(_raise_bias, build_model(config.model).output_layers().values())
        state = state.replace(params=jax.tree_util.tree_map_with_path(raise_bias, state.params))  # type: ignore[attr-defined]
        state, batch = jax.device_put((state, make_batch(config, case.dtype)), device)
        voice_BTF = jax.jit(forward_of(config))(state.variables, batch.mix_BSF)
        _, metrics = jax.jit(make_train_step(config))(state, batch)
        return {"voice": np.asarray(voice_BTF), **{name: float(metrics[name]) for name in ("loss", "gradient_norm")}}


def _raise_bias(layers: Collection[tuple[str, ...]], path: Sequence[Any], leaf: jax.Array) -> jax.Array:
    *modules, name = (key.key for key in path)
    return leaf + _RAISED_BIAS if name == "bias" and tuple(modules) in layers else leaf

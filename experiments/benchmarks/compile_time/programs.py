"""What is compiled: a system's train step or forward pass, the arrays that it takes, and how often."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from madsep_jax.config.run import RunConfig
from madsep_jax.host.compiler import compiler_options
from madsep_jax.models import build_model
from madsep_jax.models.variables import without_training_parts
from madsep_jax.train.batch import Batch
from madsep_jax.train.step import init_state, jit_train_step, make_train_step

Mode = Literal["train", "forward"]


@dataclass(frozen=True)
class Program:
    """One function of one system, for arrays of one shape."""

    system: str
    mode: Mode
    config: RunConfig

    @property
    def about(self) -> dict[str, Any]:
        """Which one it is, for tables and files; depth and form are those of equal blocks, else None."""
        depth = getattr(self.config.masker, "layers", None)
        return {
            "system": self.system,
            "mode": self.mode,
            "layers": depth,
            "blocks": None if depth is None else self.config.compute.blocks,
            "frames": self.config.sequences.frames,
            "batch": self.config.training.batch_size,
        }

    def function(self) -> Callable[..., Any]:
        """Return the pure function: of (state, batch), or of (variables, mag_BSF)."""
        if self.mode == "train":
            return make_train_step(self.config)
        model = build_model(self.config.model)
        return lambda variables, mag_BSF: model.apply(variables, mag_BSF, train=False)

    def jitted(self) -> Any:
        """Return the function as it is used: a train step gives its state's buffers up."""
        if self.mode == "train":
            return jit_train_step(self.function())
        return jax.jit(self.function(), compiler_options=compiler_options())

    def arguments(self) -> tuple[Any, Any]:
        """Return arguments of the function: the initial state or weights, and a batch of noise."""
        state = init_state(self.config)
        batch = self.batch()
        if self.mode == "train":
            return state, batch
        return without_training_parts(self.config.masker, state.variables), batch.mix_BSF

    def shapes(self) -> tuple[Any, Any]:
        """Return the arguments' shapes, without computing any."""
        return jax.eval_shape(self.arguments)

    def batch(self) -> Batch:
        """Return magnitudes of noise, the same ones each time."""
        random = np.random.default_rng(0)
        sequences, bins, size = self.config.sequences, self.config.signal.bins, self.config.training.batch_size
        mix_BSF = random.gamma(0.5, 1.0, (size, sequences.frames, bins)).astype(np.float32)
        voice_BTF = mix_BSF[:, sequences.context : sequences.frames - sequences.context] * 0.5
        return Batch(jnp.asarray(mix_BSF), jnp.asarray(voice_BTF))


#: Seconds that the repeats of one measurement may take.
PATIENCE_S = 60.0


def is_due(seconds: Sequence[float]) -> bool:
    """Whether to repeat a measurement that has taken so many seconds each time: once at least, then while it fits."""
    return not seconds or sum(seconds) + seconds[-1] <= PATIENCE_S


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    first_quartile: float
    third_quartile: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of one value or more."""
        first, median, third = np.quantile(values, [0.25, 0.5, 0.75])
        return cls(float(median), float(first), float(third))

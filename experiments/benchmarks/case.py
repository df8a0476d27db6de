"""One piece of work to be timed: a system, in training or not, at one size and precision."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.options import Form, Mode, Precision
from madsep_jax.config.io import override
from madsep_jax.config.presets import preset_config
from madsep_jax.config.run import RunConfig
from madsep_jax.errors import InputError
from madsep_jax.host.compiler import compiler_options
from madsep_jax.models import build_model
from madsep_jax.models.contract import config_of
from madsep_jax.models.cost import flops, forward_gflop_per_second
from madsep_jax.models.variables import parameter_counts, without_training_parts
from madsep_jax.ops.choice import target_of
from madsep_jax.train.batch import Batch, zero_batch
from madsep_jax.train.step import init_state, jit_train_step, make_train_step


@dataclass(frozen=True, kw_only=True)
class Case:
    """One piece of work, which every form of it and every peer does in turn."""

    system: str
    mode: Mode
    precision: Precision = "float32"
    config: RunConfig

    @classmethod
    def of(
        cls,
        system: str,
        mode: Mode,
        batch: int,
        frames: int | None,
        preset: str,
        *,
        precision: Precision = "float32",
        seed: int = 0,
    ) -> "Case":
        """Return the case of a preset's system for `batch` sequences of `frames` frames, without them the preset's.

        Raises:
            InputError: on an unknown system or preset, a size that cannot be, or inference in bfloat16, which is not
                there.
        """
        if precision == "bfloat16" and mode == "forward":
            raise InputError("--precisions: found 'bfloat16' for inference, expected --modes train with it")
        base = preset_config(preset)
        size = {"training.batch_size": batch, "sequences.frames": frames or base.sequences.frames}
        computed = {"compute.precision": "bfloat16"} if precision == "bfloat16" else {}
        base = override(base, {**size, "training.seed": seed})
        return cls(system=system, mode=mode, precision=precision, config=config_of(system, base, computed))

    @property
    def batch(self) -> int:
        """Sequences at once."""
        return self.config.training.batch_size

    @property
    def frames(self) -> int:
        """S, of each sequence."""
        return self.config.sequences.frames

    @property
    def audio_s(self) -> float:
        """Seconds of audio that one step goes forward by: the T target frames of each sequence."""
        return self.batch * self.config.sequences.target_frames / self.config.signal.frames_per_second

    @property
    def dtype(self) -> np.dtype:
        """Of the arrays in memory."""
        return np.dtype(np.float64 if self.precision == "float64" else np.float32)

    @property
    def title(self) -> str:
        """For a person to read."""
        return f"{self.system} {self.mode}, batch {self.batch}, {self.frames} frames, {self.precision}"

    def changed(self, changes: Mapping[str, Any], **others: Any) -> "Case":
        """Return the case with some fields of its config replaced, by their dotted names, and others of its own."""
        return replace(self, config=override(self.config, changes), **others)

    def with_form(self, form: Form) -> RunConfig:
        """Return the config with the operations in one form."""
        return override(self.config, {"compute.operations": form})

    @functools.cached_property
    def parameters(self) -> int:
        """Parameters in use; in training those of MaD TwinNet's twin too."""
        return sum(parameter_counts(self.config.model, train=self.mode == "train").values())

    @functools.cached_property
    def flops(self) -> float:
        """Floating-point operations of one step in the plain form.

        That is the work that the definition takes: what a fast form computes a second time to save memory is no work
        done. A recurrent inference counts with all its iterations.
        """
        plain = self.with_form("plain")
        if self.mode == "forward":
            return forward_gflop_per_second(plain) * 1e9 * self.audio_s
        state, batch = jax.eval_shape(lambda: (init_state(plain), zero_batch(plain)))
        return flops(make_train_step(plain), state, batch)

    def function(self) -> Callable[..., Any]:
        """Return the pure function: of (state, batch), or of (variables, mag_BSF) with all that a model returns."""
        if self.mode == "train":
            return make_train_step(self.config)
        model = build_model(self.config.model)
        return lambda variables, mag_BSF: model.apply(variables, mag_BSF, train=False)

    def jitted(self) -> Any:
        """Return the function as it is used: a train step gives its state's buffers up."""
        if self.mode == "train":
            return jit_train_step(self.function(), self.compiler_options)
        return jax.jit(self.function(), compiler_options=self.compiler_options)

    @property
    def compiler_options(self) -> dict[str, int]:
        """Those that programs for its target are compiled with."""
        return compiler_options(target_of(self.config.compute))

    def arguments(self) -> tuple[Any, Any]:
        """Return arguments of the function: the initial state or weights, and a batch."""
        state = init_state(self.config)
        batch = jax.tree.map(jnp.asarray, make_batch(self.config, self.dtype))
        if self.mode == "train":
            return state, batch
        return without_training_parts(self.config.masker, state.variables), batch.mix_BSF

    def shapes(self) -> tuple[Any, Any]:
        """Return the arguments' shapes, without computing any."""
        return jax.eval_shape(self.arguments)


@functools.lru_cache(maxsize=1)
def make_batch(config: RunConfig, dtype: np.dtype) -> Batch:
    """Return seeded magnitudes with the spectral slope of music, and a voice that is a random part of them.

    None is so small that a processor would handle it as a special case (a denormal number).
    """
    random = np.random.default_rng(config.training.seed)
    sequences, bins = config.sequences, config.signal.bins
    slope_F = 1 / (1 + 20 * np.arange(bins) / bins)
    noise_BSF = random.gamma(0.5, 1.0, (config.training.batch_size, sequences.frames, bins))
    mix_BSF = np.maximum(noise_BSF * slope_F, 1e-6)
    middle_BTF = mix_BSF[:, sequences.context : sequences.frames - sequences.context]
    voice_BTF = middle_BTF * random.uniform(0.01, 1.0, middle_BTF.shape)
    return Batch(mix_BSF.astype(dtype), voice_BTF.astype(dtype))


@dataclass(frozen=True, kw_only=True)
class PreparedCase:
    """One way of doing a case's work, compiled and loaded, its data on the device."""

    run: Callable[[], object]
    """Do one step; returns when it is done."""
    output_BTF: np.ndarray | None = None
    """The voice of the case's batch; in forward mode alone."""
    compile_s: float | None = None
    """From the function to the executable."""
    memory: dict[str, int] = field(default_factory=dict)
    """Bytes, by what they are for; `peak` is all that is in use at once."""
    program_text: Callable[[], str] = str
    """Return XLA's compiled program."""
    accessed_bytes: float | None = None
    """Memory traffic by XLA's count, in which the body of a loop counts once."""


class Runs:
    """Runs of a case's function, each waited for; a train step goes on from the state of the step before."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, Any], trains: bool) -> None:
        """Run nothing yet."""
        self._function, self._arguments, self._trains = function, arguments, trains

    def run(self) -> Any:
        """Run it once; returns what it does."""
        result = jax.block_until_ready(self._function(*self._arguments))
        if self._trains:
            self._arguments = (result[0], self._arguments[1])
        return result

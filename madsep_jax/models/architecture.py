"""What makes a masker, and what every masker keeps: the one interface between the systems and the rest of the code.

A new masker is one file in this folder and one line in `madsep_jax.models.registry`. The file has

- its settings, a subclass of `madsep_jax.config.maskers.MaskerConfig` with the names of its systems, which answers what
  takes no arrays to answer (those of the papers' maskers stand in `madsep_jax.config.maskers` itself);
- a Flax module, whose `__call__(mag_BSF, train)` maps the mixture's magnitudes (≥ 0; S = T + 2L frames, F bins) to a
  mask_BTF ≥ 0 for its T middle frames. Where the mask comes from a dense layer, a class attribute `last_layer` holds
  the names on the way to its parameters: the diagonal of its kernel is penalised (eq. 11 of the DWS paper);
- their `Architecture`, which is what the registry lists.

One that is not of this project needs none of that: `madsep_jax.models.outside`.

A denoiser follows the masker. A model without one is a `madsep_jax.models.mad.SeparationModel` in the masker's place.

Training, checkpoints, several devices and export rely on this of every module:

- Its variables are in `params` and, BatchNorm's statistics, in `batch_stats`. Nothing else is kept between steps.
- It draws at random by the key `dropout` alone, in training alone: for the whole batch, from which a device then takes
  its part (`madsep_jax.ops.shared_batch`).
- Sums and averages over the batch go through `madsep_jax.ops.shared_batch`, so that a batch which devices share gives
  what it gives on one. Flax's own `Dropout` and `BatchNorm` do neither.
- Arrays with "norm" in their path stay float32 where the training computes in bfloat16.
- `init` works for 2L + 1 frames and for S, and makes the same variables of both. `apply` works for a batch size that is
  a symbol, and under `vmap`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flax import linen as nn

from madsep_jax.config.maskers import MaskerConfig
from madsep_jax.config.run import ComputeConfig


def without_dropout(settings: Any) -> Any:
    """Return a masker's settings without its dropout, where it has one."""
    return replace(settings, dropout=0.0) if hasattr(settings, "dropout") else settings


@dataclass(frozen=True)
class Architecture:
    """One kind of masker. The defaults suit a plain one."""

    settings: type[MaskerConfig]
    module: Callable[[Any, int, ComputeConfig], nn.Module]
    """From settings, context frames a side and `ComputeConfig` to the masker, or to a `SeparationModel`."""
    training_parts: tuple[str, ...] = ()
    """Parts of the separator's variables that only the training uses."""
    evaluation_layout: Callable[[dict[str, Any], ComputeConfig], dict[str, Any]] = lambda variables, compute: variables
    """Lays the variables out as evaluation reads them fastest."""
    layers: Callable[[Any], tuple[str, ...]] = lambda settings: ()
    """From settings to the dense layers that, with a ReLU after each, are the whole model, first layer first; none for
    what is no such chain."""
    frames_at_once: Mapping[str, int] = field(default_factory=dict)
    """Frames that go through the model at once in separation, by target, where few are faster than many."""
    without_dropout: Callable[[Any], Any] = without_dropout
    """From settings to those of the same masker that draws nothing, as far as they decide that."""
    speed_share: float = 0.50
    """Share of a matrix product's speed that a whole training step reaches on two CPU cores."""
    has_fast_form: Callable[[ComputeConfig], bool] = lambda compute: True
    """Whether the forms written for speed can compute with these settings."""

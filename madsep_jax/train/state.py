"""What a training step takes and returns."""

from collections.abc import Callable
from typing import Any

import jax
from flax import struct

from madsep_jax.train.batch import Batch, WaveformBatch


@struct.dataclass
class TrainState:
    """All that a step changes."""

    step: jax.Array
    """Steps done."""
    params: Any
    batch_stats: Any
    """BatchNorm's running statistics; empty for a model without any."""
    opt_state: Any
    dropout_key: jax.Array
    """Stays as it is: each step folds its number into it."""
    gradient: Any = None
    """The last step's; nothing reads it. A step writes its own over it, in place of memory that it would ask the system
    for anew, page by page: on a CPU a seventh of a MaD's step. None for a state that keeps none."""

    @property
    def variables(self) -> dict[str, Any]:
        """What `model.apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats} if self.batch_stats else {"params": self.params}


Metrics = dict[str, jax.Array]
TrainStep = Callable[[TrainState, Batch | WaveformBatch], tuple[TrainState, Metrics]]

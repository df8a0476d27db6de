"""The stack of dilated blocks as a whole model, and as a masker.

The source [1] predicts voice and accompaniment at once. It leaves open, and is decided here, so that the comparison
with the other systems is one of the networks alone:

- A source's estimate is a mask times the mixture, from one linear layer and a ReLU. The masks are not made to add up to
  1 (as a softmax would): magnitudes do not add up where phases differ, and a voice may exceed the mixture.
- The network reads magnitudes as they are, context frames included, as the other maskers do.
- What is separated is the voice; the accompaniment is the rest of the mixture, so that both add up. The estimate of
  the accompaniment serves the training (`madsep_jax.train.losses`).

[1] Liu, Yang: Dilated Convolution with Dilated GRU for Music Source Separation, 2019 (abstract).
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from madsep_jax.config.maskers import DilatedConfig
from madsep_jax.config.run import ComputeConfig
from madsep_jax.models.architecture import Architecture
from madsep_jax.models.denoiser import dense
from madsep_jax.models.dilated_block import DilatedStack
from madsep_jax.models.gru import evaluation_layout
from madsep_jax.models.mad import Separation, Separator
from madsep_jax.signal.framing import middle_frames


class DilatedMasker(nn.Module):
    """The stack in place of MaD's recurrent encoder and decoder, the mask layer after it."""

    config: DilatedConfig
    context_frames: int
    compute: ComputeConfig = ComputeConfig()

    last_layer = ("mask_layer",)

    @nn.compact
    def __call__(self, mag_BSF: jax.Array, train: bool = False) -> jax.Array:
        """Return the mask (batch, T, F) for the middle frames of mag_BSF; `train` changes nothing here."""
        h_BSC = DilatedStack(self.config, self.compute, name="stack")(mag_BSF)
        h_BTC = middle_frames(h_BSC, self.context_frames)
        return nn.relu(dense(mag_BSF.shape[-1], "mask_layer")(h_BTC))


class DilatedSystem(Separator):
    """The stack as a model of its own: a mask for the voice and one for the accompaniment, no denoiser."""

    config: DilatedConfig
    context_frames: int
    compute: ComputeConfig = ComputeConfig()

    last_layer = ("mask_layer",)

    @nn.compact
    def __call__(self, mag_BSF: jax.Array, train: bool = False) -> Separation:
        """Estimate voice and accompaniment in the middle frames of mag_BSF; `train` changes nothing here."""
        h_BSC = DilatedStack(self.config, self.compute, name="stack")(mag_BSF)
        h_BTC = middle_frames(h_BSC, self.context_frames)
        masks_BTF = nn.relu(dense(2 * mag_BSF.shape[-1], "mask_layer")(h_BTC))
        voice_mask_BTF, accompaniment_mask_BTF = jnp.split(masks_BTF, 2, axis=-1)
        mix_BTF = middle_frames(mag_BSF, self.context_frames)
        return Separation(
            masker_BTF=None, voice_BTF=mix_BTF * voice_mask_BTF, accompaniment_BTF=mix_BTF * accompaniment_mask_BTF
        )


ARCHITECTURE = Architecture(
    DilatedConfig,
    lambda config, *rest: (DilatedMasker if config.role == "masker" else DilatedSystem)(config, *rest),
    evaluation_layout=evaluation_layout,
)

"""MaD's masker with minimal GRUs in place of its GRUs: recurrent, and yet parallel in time.

It asks what MaD loses where its recurrence no longer has to be computed step by step. As MaD's (eq. 1 to 6 of the DWS
paper) are the trimmed bins, the two directions of the encoder with their residual, the context frames, the decoder of
2R units, the mask layer, the denoiser, and how all of it is initialised. Another one is the layer: see `MinGru`.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from madsep_jax.config.maskers import MinGruMaskerConfig
from madsep_jax.config.run import ComputeConfig
from madsep_jax.models.architecture import Architecture
from madsep_jax.models.denoiser import dense
from madsep_jax.models.gru_masker import with_residual
from madsep_jax.ops.choice import recomputed, runs_fast
from madsep_jax.ops.mingru import mingru_scan, parallel_mingru_scan
from madsep_jax.signal.framing import middle_frames


class MinGru(nn.Module):
    """One direction of a layer of minimal GRUs (`madsep_jax.ops.mingru` has the equations and the source).

    Beside a `madsep_jax.models.gru.Gru`: two gates in place of three, z and c along the last axis of each parameter;
    no recurrent kernel and no second bias, (D + 1) · 2H parameters in place of (D + H + 2) · 3H; the new state c is the
    paper's positive function of the input in place of a tanh, so that states are positive, and bounded by the largest c
    so far. The initial state is 0, as MaD's.
    """

    hidden: int
    reverse: bool = False
    """Run from the last step to the first; outputs stay at the step that they belong to."""
    compute: ComputeConfig = ComputeConfig()
    """Which form of the recurrence runs, and what is kept for its gradient."""

    @nn.compact
    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """Return the hidden states h_BTH of the input sequence x_BTD."""
        width = 2 * self.hidden
        kernel = self.param("input_kernel", nn.initializers.xavier_normal(), (x_BTD.shape[-1], width))
        bias = self.param("input_bias", nn.initializers.zeros, (width,))
        gates_TBG = jnp.swapaxes(x_BTD, 0, 1) @ kernel + bias
        scan = parallel_mingru_scan if runs_fast("mingru_scan", self.compute) else mingru_scan
        return jnp.swapaxes(recomputed(scan, self.compute, static_argnums=1)(gates_TBG, self.reverse), 0, 1)


class MinGruMasker(nn.Module):
    """Trim, encode in both directions, add the residual, drop the context, decode, map to a mask."""

    config: MinGruMaskerConfig
    context_frames: int
    compute: ComputeConfig = ComputeConfig()

    last_layer = ("mask_layer",)

    @nn.compact
    def __call__(self, mag_BSF: jax.Array, train: bool = False) -> jax.Array:
        """Return the mask (batch, T, F) for the middle frames of mag_BSF; `train` changes nothing here."""
        bins = self.config.reduced_bins
        reduced_BSR = mag_BSF[..., :bins]
        forward_BSR = MinGru(bins, compute=self.compute, name="encoder_forward")(reduced_BSR)
        backward_BSR = MinGru(bins, reverse=True, compute=self.compute, name="encoder_backward")(reduced_BSR)
        encoded_BSH = with_residual(forward_BSR, backward_BSR, reduced_BSR)
        decoder = MinGru(2 * bins, compute=self.compute, name="decoder")
        decoded_BTH = decoder(middle_frames(encoded_BSH, self.context_frames))
        return nn.relu(dense(mag_BSF.shape[-1], "mask_layer")(decoded_BTH))


ARCHITECTURE = Architecture(MinGruMaskerConfig, MinGruMasker)

"""Which published parameter is which of ours, and how its axes lie."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from madsep_jax.config.maskers import DwsMaskerConfig, GruMaskerConfig
from madsep_jax.config.run import ModelConfig
from madsep_jax.errors import InputError


@dataclass(frozen=True)
class Parameter:
    """One array under both names."""

    published: str
    path: tuple[str, ...]
    """Collection (`params` or `batch_stats`), modules, name."""
    to_ours: Callable[[np.ndarray], np.ndarray] = lambda array: array
    to_published: Callable[[np.ndarray], np.ndarray] = lambda array: array
    layer: int | None = None
    """Which part of our array it is, along the leading axis; None for the whole."""


def parameters(config: ModelConfig) -> list[Parameter]:
    """Return every array of the model, in the published order.

    Raises:
        InputError: where the system has no published names.
    """
    match config.masker:
        case GruMaskerConfig(twin=False):
            return [*_gru_masker(""), *_denoiser("")]
        case GruMaskerConfig(twin=True):
            return [*_gru_masker("mad."), *_denoiser("mad."), *_twin()]
        case DwsMaskerConfig(dilations=(1,), pointwise_kernel=1):
            return [*_dws_masker(config.masker), *_denoiser("")]
    raise InputError(f"{config.masker}: has no published names, expected MaD, MaD TwinNet or a DWS-CNN as published")


def _gru_masker(prefix: str) -> Iterator[Parameter]:
    yield from _gru(f"{prefix}masker.rnn_enc.gru_enc", "l0", "masker", "encoder_forward")
    yield from _gru(f"{prefix}masker.rnn_enc.gru_enc", "l0_reverse", "masker", "encoder_backward")
    yield from _gru(f"{prefix}masker.rnn_dec.gru_dec", "l0", "masker", "decoder")
    yield from _linear(f"{prefix}masker.fnn.linear_layer", "masker", "mask_layer")


def _twin() -> Iterator[Parameter]:
    yield from _gru("twin_net.rnn_dec.gru_dec", "l0", "twin", "decoder")
    yield from _linear("twin_net.fnn.linear_layer", "twin", "mask_layer")
    yield from _linear("affine.linear_layer", "affine")


def _denoiser(prefix: str) -> Iterator[Parameter]:
    yield from _linear(f"{prefix}denoiser.fnn_enc", "denoiser", "encoder")
    yield from _linear(f"{prefix}denoiser.fnn_dec", "denoiser", "decoder")


def _dws_masker(masker: DwsMaskerConfig) -> Iterator[Parameter]:
    yield from _block("masker.cnn_enc", "encoder_in")
    inner = ".layer" if masker.residual else ""
    for layer in range(masker.layers):
        yield from _block(f"masker.latent_conv.{layer}{inner}", "encoder", layer)
    yield Parameter(
        "masker.upsamp.weight",
        ("params", "masker", "upsample", "kernel"),
        lambda kernel_IO1P: kernel_IO1P[:, :, 0].transpose(0, 2, 1),
        lambda kernel_IPO: kernel_IPO.transpose(0, 2, 1)[:, :, None],
    )
    yield Parameter("masker.upsamp.bias", ("params", "masker", "upsample", "bias"))
    yield from _block("masker.cnn_dec", "decoder_0")
    yield from _block("masker.cnn_dec2", "decoder_1")
    yield Parameter("masker.channel_reduce.weight", ("params", "masker", "channel_reduce", "kernel"), *_POINTWISE)
    yield from _linear("masker.fnn.linear_layer", "masker", "mask_layer")


def _block(published: str, name: str, layer: int | None = None) -> Iterator[Parameter]:
    """Name the arrays of a block; `layer` is its place where equal ones are stacked."""
    conv = f"{published}.layer_1.0"
    yield Parameter(
        f"{conv}.depth_wise_conv.weight",
        ("params", "masker", name, "depthwise_kernel"),
        lambda kernel_C1KK: kernel_C1KK[:, 0].transpose(1, 2, 0),
        lambda kernel_KKC: kernel_KKC.transpose(2, 0, 1)[:, None],
        layer,
    )
    yield Parameter(f"{conv}.depth_wise_conv.bias", ("params", "masker", name, "depthwise_bias"), layer=layer)
    yield from _norm(f"{conv}.batch_norm", name, "inner_norm", layer)
    yield Parameter(
        f"{conv}.point_wise.weight", ("params", "masker", name, "pointwise_kernel"), *_POINTWISE, layer=layer
    )
    yield Parameter(f"{conv}.point_wise.bias", ("params", "masker", name, "pointwise_bias"), layer=layer)
    yield from _norm(f"{published}.layer_1.2", name, "outer_norm", layer)


def _norm(published: str, block: str, norm: str, layer: int | None) -> Iterator[Parameter]:
    yield Parameter(f"{published}.weight", ("params", "masker", block, f"{norm}_scale"), layer=layer)
    yield Parameter(f"{published}.bias", ("params", "masker", block, f"{norm}_bias"), layer=layer)
    yield Parameter(f"{published}.running_mean", ("batch_stats", "masker", block, f"{norm}_mean"), layer=layer)
    yield Parameter(f"{published}.running_var", ("batch_stats", "masker", block, f"{norm}_var"), layer=layer)


#: The kernel of a 1×1 convolution, as (in, out) and back.
_POINTWISE = (lambda kernel_OI11: kernel_OI11[:, :, 0, 0].T, lambda kernel_IO: kernel_IO.T[:, :, None, None])


def _linear(published: str, *modules: str) -> Iterator[Parameter]:
    yield Parameter(f"{published}.weight", ("params", *modules, "kernel"), np.transpose, np.transpose)
    yield Parameter(f"{published}.bias", ("params", *modules, "bias"))


def _gru(published: str, suffix: str, *modules: str) -> Iterator[Parameter]:
    for of, ours in (("ih", "input"), ("hh", "recurrent")):
        kernel = ("params", *modules, f"{ours}_kernel")
        yield Parameter(f"{published}.weight_{of}_{suffix}", kernel, np.transpose, np.transpose)
    for of, ours in (("ih", "input"), ("hh", "recurrent")):
        yield Parameter(f"{published}.bias_{of}_{suffix}", ("params", *modules, f"{ours}_bias"))

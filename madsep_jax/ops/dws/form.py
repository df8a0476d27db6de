"""Which form of the depthwise-separable blocks runs: in training, and in evaluation.

The fast forms are for pointwise kernels of one element; others take the plain form. Blocks whose dilations differ go
one by one, as do residual ones. Each target has fast forms of its own: `lean` on a GPU; `packed`, of training alone, on
a TPU; on a CPU `lean` for small arrays, chunks of frames for others (see `cost`). Those of GPUs and TPUs take 16 bits
as well.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from madsep_jax.config.run import ComputeConfig
from madsep_jax.ops.choice import recomputed, runs_fast, target_of
from madsep_jax.ops.dws.block import BlockMoments, BlockParameters, dws_block, dws_blocks, over_blocks
from madsep_jax.ops.dws.cost import goes_whole
from madsep_jax.ops.dws.fast_blocks import fast_dws_blocks
from madsep_jax.ops.dws.fast_first import fast_first_block
from madsep_jax.ops.dws.fast_pooled import fast_dws_block
from madsep_jax.ops.dws.folded import folded_block, folded_blocks
from madsep_jax.ops.dws.lazy import LazyArray, Normalised, Upsampled, as_array
from madsep_jax.ops.dws.lean import lean_dws_block, lean_dws_blocks, lean_evaluation
from madsep_jax.ops.dws.packed import packed_block, packed_blocks


def train_block(
    parameters: BlockParameters,
    x_BTWC: LazyArray,
    kept_BC: jax.Array | None,
    compute: ComputeConfig,
    *,
    pool: int,
) -> tuple[jax.Array | Normalised, BlockMoments]:
    """Apply one block in training; see `dws_block`."""
    if not _is_mixed(x_BTWC):
        x_BTWC, parameters, kept_BC = _of_one_type(x_BTWC, parameters, kept_BC)
    form = _form_of(parameters, x_BTWC, compute)
    if form == "packed":
        return recomputed(functools.partial(packed_block, pool=pool), compute)(parameters, x_BTWC, kept_BC)
    if form == "lean":
        return lean_dws_block(parameters, x_BTWC, kept_BC, pool=pool)
    if form == "plain":
        plain = functools.partial(_plain_block, pool=pool, target=target_of(compute))
        return recomputed(plain, compute)(parameters, x_BTWC, kept_BC)
    if isinstance(x_BTWC, jax.Array) and x_BTWC.shape[-1] == 1:
        return fast_first_block(parameters, x_BTWC[..., 0], kept_BC, pool=pool)
    return fast_dws_block(parameters, x_BTWC, kept_BC, pool=pool)


def train_blocks(
    parameters_L: BlockParameters,
    x_BTWC: jax.Array | Normalised,
    kept_LBC: jax.Array | None,
    compute: ComputeConfig,
    *,
    dilations: tuple[int, ...],
    residual: bool,
) -> tuple[jax.Array | Normalised, BlockMoments]:
    """Apply equal blocks in training; see `dws_blocks`."""
    unrolled = compute.blocks == "unrolled"
    if not _is_mixed(x_BTWC):
        x_BTWC, parameters_L, kept_LBC = _of_one_type(x_BTWC, parameters_L, kept_LBC)
    form = _form_of(parameters_L, x_BTWC, compute)
    wrap = functools.partial(recomputed, compute=compute, static_argnums=2)
    how: dict[str, Any] = {"dilations": dilations, "residual": residual, "unrolled": unrolled, "wrap": wrap}
    if form == "packed":
        return packed_blocks(parameters_L, as_array(x_BTWC), kept_LBC, **how)
    if form == "plain":
        return dws_blocks(parameters_L, as_array(x_BTWC), None, kept_LBC, target=target_of(compute), **how)
    if kept_LBC is None:
        layers, channels = parameters_L.depthwise_bias_C.shape
        kept_LBC = jnp.ones((layers, x_BTWC.shape[0], channels), x_BTWC.dtype)
    if len(set(dilations)) == 1 and not residual and not (form == "lean" and unrolled):
        if form == "lean":
            return lean_dws_blocks(parameters_L, x_BTWC, kept_LBC, dilations[0])
        return fast_dws_blocks(parameters_L, x_BTWC, kept_LBC, dilations[0], unrolled)
    block = lean_dws_block if form == "lean" else fast_dws_block
    return _one_by_one(block, parameters_L, x_BTWC, kept_LBC, dilations, residual, unrolled)


def evaluate_block(
    parameters: BlockParameters,
    x_BTWC: LazyArray,
    moments: BlockMoments,
    compute: ComputeConfig,
    *,
    pool: int,
) -> jax.Array:
    """Apply one block normalised by given moments, without dropout."""
    x_BTWC, parameters, moments = _of_one_type(x_BTWC, parameters, moments)
    form = _form_of(parameters, x_BTWC, compute)
    if form in ("plain", "packed"):
        return dws_block(parameters, as_array(x_BTWC), moments, pool=pool, target=target_of(compute))[0]
    if form == "lean":
        return lean_evaluation(parameters, x_BTWC, moments, pool=pool)
    source = x_BTWC if isinstance(x_BTWC, Upsampled) else as_array(x_BTWC)
    return folded_block(parameters, source, moments, pool=pool)


def evaluate_blocks(
    parameters_L: BlockParameters,
    x_BTWC: jax.Array | Normalised,
    moments_L: BlockMoments,
    compute: ComputeConfig,
    **how: Any,
) -> jax.Array:
    """Apply equal blocks normalised by given moments, without dropout; `how` as in `dws_blocks`."""
    source_BTWC, parameters_L, moments_L = _of_one_type(as_array(x_BTWC), parameters_L, moments_L)
    form = _form_of(parameters_L, source_BTWC, compute)
    if form in ("plain", "packed"):
        return dws_blocks(parameters_L, source_BTWC, moments_L, target=target_of(compute), **how)[0]
    if form == "chunks":
        return folded_blocks(parameters_L, source_BTWC, moments_L, **how)

    def apply(x_BTWC: jax.Array, block: tuple, dilation: int) -> tuple[jax.Array, None]:
        y_BTWC = lean_evaluation(block[0], x_BTWC, block[1], dilation=dilation)
        return x_BTWC + y_BTWC if how["residual"] else y_BTWC, None

    return over_blocks(apply, source_BTWC, (parameters_L, moments_L), how["dilations"], how["unrolled"])[0]


def _plain_block(
    parameters: BlockParameters, x_BTWC: LazyArray, kept_BC: jax.Array | None, pool: int, target: str
) -> tuple[jax.Array, BlockMoments]:
    return dws_block(parameters, as_array(x_BTWC), None, kept_BC, pool=pool, target=target)


def _form_of(parameters: BlockParameters, x_BTWC: LazyArray, compute: ComputeConfig) -> str:
    """Return `plain`, or the fast form of the target where it is to run and can: `chunks`, `lean` or `packed`."""
    one_element = parameters.pointwise_kernel_CC.ndim == 1 + parameters.depthwise_bias_C.ndim
    if not (one_element and runs_fast("dws_block", compute)):
        return "plain"
    if form := {"gpu": "lean", "tpu": "packed"}.get(target_of(compute)):
        return form
    if _is_mixed(x_BTWC):
        return "plain"
    values = math.prod(x_BTWC.shape[:3]) * parameters.depthwise_bias_C.shape[-1]
    return "lean" if goes_whole(values) else "chunks"


def _is_mixed(x_BTWC: LazyArray) -> bool:
    """Whether activations are of 16 bits and the statistics are not, for which the fast forms are not written."""
    return x_BTWC.dtype.itemsize < 4


def _of_one_type(*trees: Any) -> Any:
    """Give all arrays the highest precision that is among them: convolutions and buffers mix none."""
    dtype = jnp.result_type(*jax.tree.leaves(trees))
    return jax.tree.map(lambda array: jnp.asarray(array, dtype), trees)


def _one_by_one(
    run: Callable[..., tuple[Normalised, BlockMoments]],
    parameters_L: BlockParameters,
    x_BTWC: jax.Array | Normalised,
    kept_LBC: jax.Array,
    dilations: tuple[int, ...],
    residual: bool,
    unrolled: bool,
) -> tuple[jax.Array | Normalised, BlockMoments]:
    is_lazy = run is lean_dws_block and not residual

    def apply(x: Any, block: tuple, dilation: int) -> tuple[Any, BlockMoments]:
        y, moments = run(block[0], x, block[1], dilation=dilation)
        if is_lazy:
            return y, moments
        return x + y.array().astype(x.dtype) if residual else y.array(), moments

    source: Any = Normalised.of(x_BTWC) if is_lazy else as_array(x_BTWC)
    return over_blocks(apply, source, (parameters_L, kept_LBC), dilations, unrolled)

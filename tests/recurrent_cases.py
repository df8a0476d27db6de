"""What the tests of other forms of the GRU share: every way in which a system uses one, and arguments of about 1."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from tiny import magnitudes

from madsep_jax import DilatedConfig, GruMaskerConfig, build_model
from madsep_jax.train.losses import loss_parts

MASKERS = {
    "mad": GruMaskerConfig(reduced_bins=9),
    "twin": GruMaskerConfig(reduced_bins=9, twin=True),
    "recurrent inference": GruMaskerConfig(reduced_bins=9, recurrent_iterations=3, recurrent_tolerance=1e-4),
    "dilated masker": DilatedConfig(role="masker", blocks=2, channels=8, convolutions=1, groups=2, gru_dilation=3),
    "dilated system": DilatedConfig(blocks=1, channels=8, convolutions=1, groups=2, gru_dilation=3),
}


def scan_arguments(steps, batch, hidden, seed=0, dtype=np.float64):
    """Gates, recurrent kernel and bias: larger ones would saturate the gates, and hide what is wrong with them."""
    random = np.random.default_rng(seed)
    shapes = (steps, batch, 3 * hidden), (hidden, 3 * hidden), (3 * hidden,)
    return tuple(jnp.asarray(random.normal(size=shape), dtype) for shape in shapes)


def model_variables(run, mag_BSF):
    shapes = jax.eval_shape(build_model(run.model).init, jax.random.key(0), mag_BSF)
    random = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: jnp.asarray(0.3 * random.normal(size=leaf.shape)), shapes)


def value_and_gradients(scan, given, reverse):
    """States, and the gradients of a sum with weights of its own for each, so that no element can stand for another."""
    weights = np.random.default_rng(9).normal(size=(*given[0].shape[:2], given[1].shape[0]))

    def total(*given):
        h_TBH = scan(*given, reverse)
        return jnp.sum(weights * h_TBH), h_TBH

    (_, h_TBH), gradients = jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2), has_aux=True))(*given)
    return h_TBH, *gradients


def outcome_of_system(run, compute):
    """Outputs in evaluation and training, and the gradient of the whole loss, in float64."""
    mix_BSF = jnp.asarray(magnitudes(2, run.sequences.frames, run.signal.bins), jnp.float64)
    voice_BTF = 0.3 * mix_BSF[:, run.sequences.context : -run.sequences.context]
    variables = model_variables(run, mix_BSF)
    model = build_model(dataclasses.replace(run, compute=compute).model)

    def loss(params):
        separation = model.apply({"params": params}, mix_BSF, train=True)
        parts = loss_parts(separation, voice_BTF, model.output_kernels(params), run.loss, mix_BSF)
        return sum(parts.values()), separation

    (_, trained), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables["params"])
    return jax.jit(model.apply)(variables, mix_BSF), trained, gradient

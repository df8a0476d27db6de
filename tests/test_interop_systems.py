"""Published names both ways. Oracles: exact recovery, and the names of the published checkpoints under `reference/`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import reference, under

from madsep_jax import DwsMaskerConfig, GruMaskerConfig, InputError, ModelConfig, build_model
from madsep_jax.config.maskers import DilatedConfig
from madsep_jax.interop import from_torch, to_torch
from madsep_jax.models.variables import variable_shapes

BOTH = "time_and_frequency"


def random_variables(config, seed):
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: random.random(leaf.shape, np.float32), variable_shapes(config))


@st.composite
def models(draw):
    bins, context = draw(st.integers(80, 90)), draw(st.integers(0, 3))
    if draw(st.booleans()):
        twin = draw(st.booleans())
        masker = GruMaskerConfig(reduced_bins=draw(st.integers(1, 7)), twin=twin, residual_flip=BOTH, twin_flip=BOTH)
    else:
        masker = DwsMaskerConfig(
            layers=draw(st.sampled_from([0, 1, 3, 11])),
            channels=draw(st.integers(1, 4)),
            kernel=draw(st.sampled_from([1, 3, 5])),
            residual=draw(st.booleans()),
            input_frames="middle",
        )
        if masker.layers == 0:  # the names of the blocks tell
            masker = DwsMaskerConfig(layers=0, channels=masker.channels, kernel=masker.kernel, input_frames="middle")
    return ModelConfig(bins=bins, context_frames=context, masker=masker)


@pytest.mark.thorough
@settings(max_examples=30, derandomize=True)
@given(models(), st.integers(0, 99))
def test_any_system_there_and_back(config, seed):
    variables = random_variables(config, seed)
    state_dict = to_torch(config, variables)
    found_config, found = from_torch(state_dict, context_frames=config.context_frames)
    assert found_config == config
    assert jax.tree.structure(found) == jax.tree.structure(variables)
    jax.tree.map(np.testing.assert_array_equal, found, variables)
    again = to_torch(found_config, found)
    assert list(again) == list(state_dict)
    for name, array in state_dict.items():
        np.testing.assert_array_equal(again[name], array)


@pytest.mark.parametrize(
    "masker",
    [
        DwsMaskerConfig(layers=0, channels=1, kernel=1, input_frames="middle"),
        DwsMaskerConfig(layers=11, channels=3, kernel=3, residual=True, input_frames="middle"),
        GruMaskerConfig(reduced_bins=1, twin=True, residual_flip=BOTH, twin_flip=BOTH),
    ],
    ids=["dws without layers", "dws of 11 layers", "twinnet of one bin"],
)
def test_there_and_back(masker):
    test_any_system_there_and_back.hypothesis.inner_test(ModelConfig(bins=81, context_frames=0, masker=masker), 1)


@pytest.mark.parametrize("name", ["mad_twinnet", "dws", "dws_residual"])
def test_published_names(name):
    """All of them, their arrays bit by bit, their order."""
    published = under(reference(name), "param/")
    found = to_torch(*from_torch(published))
    assert list(found) == list(published)
    for parameter, array in published.items():
        assert found[parameter].dtype == array.dtype
        np.testing.assert_array_equal(found[parameter], array)


def test_the_mad_part_of_a_twinnet_alone_is_mad():
    published = under(reference("mad_twinnet"), "param/")
    alone = {name: array for name, array in published.items() if name.startswith("mad.")}
    config, variables = from_torch(alone, context_frames=3)
    assert not config.masker.twin
    assert set(to_torch(config, variables)) == set(under(published, "mad."))


def test_context_is_an_argument():
    published = under(reference("dws"), "param/")
    assert from_torch(published)[0].context_frames == 10
    config, variables = from_torch(published, context_frames=3)
    assert config.context_frames == 3
    assert jax.eval_shape(build_model(config).apply, variables, jnp.ones((1, 14, 80))).voice_BTF.shape == (1, 8, 80)


def test_mismatch_lists_both_sides():
    published = under(reference("mad_twinnet"), "param/")
    published["twin_net.extra"] = np.zeros(2)
    published["affine.linear_layer.bias"] = np.zeros(7)
    del published["mad.denoiser.fnn_enc.bias"], published["twin_net.fnn.linear_layer.bias"]
    with pytest.raises(InputError) as error:
        from_torch(published)
    assert str(error.value).endswith(
        "missing mad.denoiser.fnn_enc.bias; missing twin_net.fnn.linear_layer.bias; left over twin_net.extra; "
        "affine.linear_layer.bias is (7,), expected (24,)"
    )


def test_a_missing_block_is_named():
    published = under(reference("dws"), "param/")
    for name in [name for name in published if name.startswith("masker.latent_conv.1.")]:
        published[name.replace("latent_conv.1.", "latent_conv.4.")] = published.pop(name)
    with pytest.raises(InputError, match=r"missing masker\.latent_conv\.1\..*left over masker\.latent_conv\.4\."):
        from_torch(published)


@pytest.mark.parametrize("state_dict", [{}, {"a": np.zeros(2)}, {"masker.fnn.linear_layer.weight": np.zeros((2, 2))}])
def test_no_known_system(state_dict):
    with pytest.raises(InputError, match=r"no known system: found \d arrays .*expected names such as"):
        from_torch(state_dict)


def test_arrays_that_tell_the_architecture_are_checked_first():
    published = under(reference("dws"), "param/")
    name = "masker.cnn_enc.layer_1.0.depth_wise_conv.weight"
    with pytest.raises(InputError, match=r"depth_wise_conv\.weight is \(6, 5\), expected 4 axes"):
        from_torch({**published, name: np.zeros((6, 5))})


@pytest.mark.parametrize(
    "masker", [DilatedConfig(role="masker"), DwsMaskerConfig(dilations=(1, 2)), DwsMaskerConfig(pointwise_kernel=3)]
)
def test_what_was_not_published_has_no_names(masker):
    with pytest.raises(InputError, match="has no published names"):
        to_torch(ModelConfig(masker=masker), {})


def test_variables_of_another_model():
    config = ModelConfig(bins=33, masker=GruMaskerConfig(reduced_bins=5))
    variables = random_variables(config, 0)
    variables["params"]["denoiser"]["third"] = {"bias": np.zeros(2)}
    del variables["params"]["masker"]["mask_layer"]["bias"]
    with pytest.raises(
        InputError, match=r"missing params/masker/mask_layer/bias; left over params/denoiser/third/bias"
    ):
        to_torch(config, variables)

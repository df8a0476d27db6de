"""Oracle: the published names and shapes in `reference/`. Exact."""

import numpy as np
import pytest
from tiny import reference, under

from madsep_jax import DwsMaskerConfig, GruMaskerConfig, InputError, ModelConfig
from madsep_jax.interop import from_torch, to_torch

MAD, DWS, RESIDUAL = (
    under(reference(name), prefix)
    for name, prefix in [("mad_twinnet", "param/mad."), ("dws", "param/"), ("dws_residual", "param/")]
)
ALL = pytest.mark.parametrize("state_dict", [MAD, DWS, RESIDUAL], ids=["mad", "dws", "dws_residual"])
KERNEL = "masker.rnn_enc.gru_enc.weight_ih_l0"


def replaced(state_dict, **changes):
    """Without the names whose value is None."""
    return {name: array for name, array in {**state_dict, **changes}.items() if array is not None}


@ALL
def test_there_and_back(state_dict):
    config, variables = from_torch(state_dict)
    back = to_torch(config, variables)
    assert list(back) == list(state_dict)
    for name, array in state_dict.items():
        assert back[name].shape == array.shape
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize(
    ("state_dict", "masker"),
    [
        (MAD, GruMaskerConfig(reduced_bins=12, residual_flip="time_and_frequency", twin_flip="time_and_frequency")),
        (DWS, DwsMaskerConfig(layers=2, channels=6, input_frames="middle")),
        (RESIDUAL, DwsMaskerConfig(layers=2, channels=6, input_frames="middle", residual=True)),
    ],
    ids=["mad", "dws", "dws_residual"],
)
def test_config(state_dict, masker):
    bins = len(state_dict["denoiser.fnn_dec.bias"])
    assert from_torch(state_dict)[0] == ModelConfig(bins=bins, context_frames=10, masker=masker)
    assert from_torch(state_dict, context_frames=3)[0].context_frames == 3


def test_float32_stays_float32():
    _, variables = from_torch({name: array.astype(np.float32) for name, array in MAD.items()})
    assert variables["params"]["masker"]["decoder"]["input_kernel"].dtype == np.float32


def test_every_problem_is_listed():
    bad = replaced(
        MAD,
        **{
            "masker.rnn_dec.gru_dec.bias_ih_l0": None,
            "masker.extra": np.zeros(3),
            "denoiser.fnn_enc.bias": np.zeros(7),
        },
    )
    with pytest.raises(InputError) as caught:
        from_torch(bad)
    assert str(caught.value) == (
        "checkpoint does not fit the model that its names describe: missing masker.rnn_dec.gru_dec.bias_ih_l0; "
        "left over masker.extra; denoiser.fnn_enc.bias is (7,), expected (16,)"
    )


def test_a_missing_latent_block_is_named():
    bad = {name: array for name, array in DWS.items() if ".latent_conv.0." not in name}
    with pytest.raises(InputError, match=r"latent_conv\.0\.layer_1\.0\.depth_wise_conv\.weight"):
        from_torch(bad)


@pytest.mark.parametrize(
    ("state_dict", "message"),
    [
        ({}, r"no known system: found 0 arrays"),
        ({"encoder.weight": np.zeros(3)}, r"no known system: found 1 arrays \(encoder.weight …\), expected names such"),
        (
            replaced(MAD, **{KERNEL: None}),
            r"no known system: found 17 arrays .* expected names such as masker.fnn.* with masker.rnn_enc",
        ),
        (replaced(MAD, **{"masker.fnn.linear_layer.weight": None}), r"no known system: found 17 arrays"),
    ],
    ids=["none", "others", "no encoder", "no mask layer"],
)
def test_unknown_names(state_dict, message):
    with pytest.raises(InputError, match=message):
        from_torch(state_dict)


@pytest.mark.parametrize(
    "shape",
    [
        (),
        (36,),
        (36, 12, 1),
        (36, 0),
        (36, 99),
    ],
)
def test_a_misshapen_array_that_the_config_is_read_from(shape):
    with pytest.raises(InputError):
        from_torch(replaced(MAD, **{KERNEL: np.zeros(shape)}))


@pytest.mark.parametrize(
    "shape",
    [
        (),
        (6,),
        (6, 1, 4, 4),
        (0, 1, 5, 5),
    ],
)
def test_a_misshapen_kernel_that_the_config_is_read_from(shape):
    with pytest.raises(InputError):
        from_torch(replaced(DWS, **{"masker.cnn_enc.layer_1.0.depth_wise_conv.weight": np.zeros(shape)}))


def test_to_torch_lists_what_does_not_fit():
    config, variables = from_torch(MAD)
    del variables["params"]["masker"]["decoder"]["input_bias"]
    variables["params"]["extra"] = np.zeros(3)
    with pytest.raises(InputError) as caught:
        to_torch(config, variables)
    assert str(caught.value) == (
        "variables do not fit the model: missing params/masker/decoder/input_bias; left over params/extra"
    )


def test_to_torch_refuses_misshapen_arrays():
    config, variables = from_torch(MAD)
    variables["params"]["denoiser"]["encoder"]["bias"] = np.zeros(7)
    with pytest.raises(InputError, match=r"denoiser.fnn_enc.bias is \(7,\), expected \(16,\)"):
        to_torch(config, variables)

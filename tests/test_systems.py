"""Every system by name: it builds, runs, learns, and differs from the base in exactly what it declares."""

import functools

import jax
import numpy as np
import pytest

from experiments.rows.pictures import quality_pictures
from experiments.rows.row import PlannedRow, RowResult
from madsep_jax import DwsMaskerConfig, InputError, RunConfig, build_model
from madsep_jax.config.io import differences, from_dict, override, to_dict
from madsep_jax.config.maskers import AutoencoderConfig, DilatedConfig, MinGruMaskerConfig
from madsep_jax.config.presets import preset_config
from madsep_jax.config.systems import DWS_VARIANTS, expand, fields_of, masker_of, named_systems
from madsep_jax.models.cost import forward_gflop_per_second
from madsep_jax.train.batch import Batch, zero_batch
from madsep_jax.train.step import init_state, make_train_step

NAMES = (*named_systems(), "dws-1-4", "dws-1-4-res", "dws-2-4-dilated", "dws-1-4-k3")
#: What is special about them is tested elsewhere too.
LIKE_OTHERS = ("mad-ris-l", "dws-1-4", "dws-1-4-res", "dws-2-4-dilated", "dws-1-4-k3", "dae-deep")
AUTOENCODERS = ("dae", "dae-deep", "skip-filtering")


@functools.cache
def small_row(system):
    """The quick preset with a still smaller spectrum of 161 bins, the fewest that the DWS-CNN takes, and less time."""
    base = override(
        preset_config("quick"),
        {
            "signal.window_length": 161,
            "signal.hop_length": 30,
            "signal.fft_length": 320,
            "sequences.frames": 14,
            "sequences.context": 3,
            "training.batch_size": 2,
        },
    )
    return PlannedRow.of_system(system, 0, base).config


def song_batch(config):
    """Noise with a voice that takes up the lower half of the bins: something that every system can learn."""
    random = np.random.default_rng(0)
    silence = zero_batch(config)
    mix_BSF = random.exponential(size=silence.mix_BSF.shape).astype(np.float32)
    voice_BTF = mix_BSF[:, config.sequences.context :][:, : config.sequences.target_frames].copy()
    voice_BTF[..., config.signal.bins // 2 :] *= 0.1
    return Batch(mix_BSF, voice_BTF)


@pytest.mark.parametrize(
    "system", [pytest.param(name, marks=pytest.mark.thorough) if name in LIKE_OTHERS else name for name in NAMES]
)
def test_system_runs_and_learns(system):
    """Oracle: the output without jit, 1e-4 of the largest; the shape of the target; a loss that falls by a tenth."""
    config = small_row(system)
    assert from_dict(RunConfig, to_dict(config)) == config
    batch, state, model = song_batch(config), init_state(config), build_model(config.model)
    apply = functools.partial(model.apply, train=False)
    jitted = jax.jit(apply)(state.variables, batch.mix_BSF)
    plain = apply(state.variables, batch.mix_BSF)
    assert jitted.voice_BTF.shape == batch.voice_BTF.shape
    assert (jitted.masker_BTF is None) == (system in (*AUTOENCODERS, "dilated-gru"))
    assert (jitted.accompaniment_BTF is None) == (system != "dilated-gru")
    np.testing.assert_allclose(jitted.voice_BTF, plain.voice_BTF, atol=1e-4 * float(np.max(plain.voice_BTF)))
    step = jax.jit(make_train_step(config))
    losses = []
    for _ in range(30):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("system", NAMES)
@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_row_differs_in_exactly_what_it_declares(system, preset):
    """Oracle: the differences of the two configs, field by field."""
    base = preset_config(preset)
    row = PlannedRow.of_system(system, 3, base)
    declared = {"masker", "training.seed"}
    if system in AUTOENCODERS:
        declared |= {"sequences.frames", "sequences.context", "training.batch_size"}
    assert set(fields_of(system, base)) | {"training.seed"} == declared
    if row.config.masker == base.masker:  # the base's own stands in for none
        declared.discard("masker")
    found = differences(base, row.config)
    assert {name.split(".")[0] if name.startswith("masker") else name for name in found} == declared
    frames = (row.config.training.batch_size * row.config.sequences.target_frames, 4 * 40)
    assert frames[0] == frames[1]  # a step of every row learns as many frames


def test_names_say_what_the_masker_is():
    dws = functools.partial(DwsMaskerConfig, layers=7, channels=64)
    expected = {
        "dws-7-64": dws(),
        "dws-7-64-res": dws(residual=True),
        "dws-7-64-dilated": dws(dilations=(1, 2, 4, 8)),
        "dws-7-64-k3": dws(pointwise_kernel=3),
        "dws-7-64-res-k3": dws(residual=True, pointwise_kernel=3),
        "dws-7-64-dilated-k3": dws(dilations=(1, 2, 4, 8), pointwise_kernel=3),
        "dws-7-64-res-dilated-k3": dws(residual=True, dilations=(1, 2, 4, 8), pointwise_kernel=3),
        "dilated-gru": DilatedConfig(),
        "mad-mingru": MinGruMaskerConfig(),
        "mad-dilated": DilatedConfig(role="masker"),
        "dae": AutoencoderConfig(),
        "dae-deep": AutoencoderConfig(hidden_layers=3),
        "skip-filtering": AutoencoderConfig(skip_filtering=True),
    }
    assert {name: masker_of(name) for name in expected} == expected
    assert expand(("dae", "dws", "dae", "dws-5-8-res"), (5,), (8,)) == ["dae", "dws-5-8", "dws-5-8-res"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dws-7-64-k3-res", "system 'dws-7-64-k3-res': unknown, did you mean 'dws-L-C-res'?"),
        ("dae-depe", "system 'dae-depe': unknown, did you mean 'dae-deep'?"),
        ("wave-u-net", "system 'wave-u-net': unknown, expected one of: ALL, dae, dae-deep, dilated-gru"),
    ],
)
def test_unknown_names_are_refused(name, text):
    with pytest.raises(InputError) as error:
        masker_of(name)
    assert str(error.value).startswith(text)


def test_variants_change_one_field_each():
    assert [len(fields) for fields in DWS_VARIANTS.values()] == [1, 1, 1]


@pytest.mark.parametrize(("bins", "channels"), [(2049, 512), (513, 128), (65, 16), (9, 8)])
def test_dilated_channels_keep_their_share_of_the_bins(bins, channels):
    """Oracle: 512 of 2049, to a multiple of twice the 4 groups, and at least that."""
    assert DilatedConfig().fitted_to(bins) == DilatedConfig(channels=channels)


def test_operations_of_a_single_frame_model():
    """Oracle: two F x F products a frame, two operations per multiply-add, and next to nothing else; 2 %."""
    base = preset_config("quick")
    config = PlannedRow.of_system("dae", 0, base).config
    products = 2 * 2 * 513**2 * config.signal.frames_per_second / 1e9
    assert forward_gflop_per_second(config) == pytest.approx(products, rel=0.02)


def test_operations_of_the_dilated_system():
    """Oracle: its matrix products by hand, at the size of the quick preset; 5 %, for what is done elementwise."""
    config = PlannedRow.of_system("dilated-gru", 0, preset_config("quick")).config
    bins, channels, grouped, hidden = 513, 128, 128 // 4, 64
    gru = 2 * (channels + hidden) * 3 * hidden
    first = 3 * bins * channels + 3 * 3 * grouped * channels + gru + bins * channels
    later = 4 * 3 * grouped * channels + gru
    frame = 60 * (first + 2 * later) + 40 * channels * 2 * bins
    products = 2 * frame / (40 / config.signal.frames_per_second) / 1e9
    assert forward_gflop_per_second(config) == pytest.approx(products, rel=0.05)


def test_every_system_has_a_point_in_the_pictures(monkeypatch):
    """Oracle: the points that matplotlib is asked for, one a row, in one shape for each family."""
    from matplotlib.axes import Axes

    drawn = []
    scatter = Axes.scatter

    def spy(axes, x, y, **style):
        drawn.append(style["marker"])
        return scatter(axes, x, y, **style)

    monkeypatch.setattr(Axes, "scatter", spy)
    targets = {"vocals": {"median_db": {"SDR": 1.0}}}
    rows = [
        RowResult(
            system=name,
            seed=0,
            scores={"targets": targets},
            total_parameters=9,
            gflop_per_audio_second=1.0,
            real_time_factor=0.1,
        )
        for name in (*NAMES, "dws-9-256-res-dilated-k3", "another")
    ]
    pictures = quality_pictures(rows)
    names = ("sdr_against_parameters.png", "sdr_against_gflop.png", "sdr_against_real_time_factor.png")
    assert set(pictures) == set(names)
    for draw in pictures.values():
        draw()
    assert len(drawn) == 3 * len(rows)
    assert set(drawn) == set("os^DvX")


@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_all_has_every_named_system_and_every_variant_of_the_dws_masker(preset):
    names = expand(("ALL", "mad"), (), (), preset)
    assert set(named_systems()) <= set(names)
    assert len(names) == len(set(names))
    for ending in DWS_VARIANTS:
        assert any(name.endswith(ending) for name in names)
    for name in names:
        masker_of(name)

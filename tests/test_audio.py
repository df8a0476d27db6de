"""Oracles: the codes of each subtype by hand, and exact sines."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madsep_jax.audio import AudioInfo, probe_audio, read_audio, resample, write_audio
from madsep_jax.errors import InputError

sf = pytest.importorskip("soundfile")
pytest.importorskip("soxr")

RATE = 44100


def noise_NC(n=5000, channels=2, seed=0):
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (n, channels)).astype(np.float32)


def sine_NC(rate, seconds, hz=440.0, amplitude=0.5):
    t_N = np.arange(round(rate * seconds)) / rate
    return (amplitude * np.sin(2 * np.pi * hz * t_N))[:, None].astype(np.float32)


# Round trips: half a code, plus float32's own 2^-25 of full scale when read back.
@pytest.mark.parametrize(
    ("ending", "subtype", "bits"),
    [
        ("wav", "PCM_U8", 8),
        ("flac", "PCM_S8", 8),
        ("wav", "PCM_16", 16),
        ("wav", "PCM_24", 24),
        ("wav", "PCM_32", 32),
        ("flac", "PCM_16", 16),
        ("flac", "PCM_24", 24),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_integer_round_trip(tmp_path, ending, subtype, bits, dtype):
    path = tmp_path / f"a.{ending}"
    x_NC = noise_NC().astype(dtype)
    write_audio(path, x_NC, RATE, subtype=subtype)
    audio = read_audio(path)
    assert (audio.sample_rate, audio.format, audio.subtype) == (RATE, ending.upper(), subtype)
    assert audio.samples_NC.dtype == np.float32
    assert audio.samples_NC.shape == (5000, 2)
    np.testing.assert_allclose(audio.samples_NC, x_NC, rtol=0, atol=0.5 / 2 ** (bits - 1) + 2**-25)
    assert probe_audio(path) == AudioInfo(RATE, 2, 5000, ending.upper(), subtype)
    # What was read is written again without any change: no drift over generations.
    again = tmp_path / f"b.{ending}"
    write_audio(again, audio.samples_NC, RATE, subtype=subtype)
    np.testing.assert_array_equal(read_audio(again).samples_NC, audio.samples_NC)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_float_subtypes_hold_the_samples_as_they_are(tmp_path, subtype):
    x_NC = noise_NC() * np.float32(3.0)  # beyond ±1 too
    assert np.abs(x_NC).max() > 2
    write_audio(tmp_path / "a.wav", x_NC, RATE, subtype=subtype)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav").samples_NC, x_NC)


# By hand: round to nearest (ties to even), then saturate. libsndfile alone would round down.
@pytest.mark.parametrize(
    ("ending", "subtype", "bits"),
    [
        ("wav", "PCM_U8", 8),
        ("flac", "PCM_S8", 8),
        ("wav", "PCM_16", 16),
        ("flac", "PCM_24", 24),
        ("wav", "PCM_24", 24),
        ("wav", "PCM_32", 32),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_codes(tmp_path, ending, subtype, bits, dtype):
    full = 2 ** (bits - 1)
    x = [1.5, -1.5, 1.0, -1.0, 1e9, -1e9, 0.6 / full, -0.6 / full, 1.4 / full, -1.4 / full, 2.5 / full]
    expected = [full - 1, -full, full - 1, -full, full - 1, -full, 1, -1, 1, -1, 2]
    write_audio(tmp_path / f"a.{ending}", np.array(x, dtype)[:, None], RATE, subtype=subtype)
    left_aligned_N, _ = sf.read(tmp_path / f"a.{ending}", dtype="int32")
    assert (left_aligned_N.astype(np.int64) >> (32 - bits)).tolist() == expected


def test_default_subtype_is_16_bits_and_the_ending_may_be_upper_case(tmp_path):
    write_audio(tmp_path / "a.WAV", noise_NC(), RATE)
    write_audio(tmp_path / "a.flac", noise_NC(), RATE)
    write_audio(tmp_path / "without_ending", noise_NC(), RATE, format="flac")
    assert [read_audio(p).subtype for p in sorted(tmp_path.iterdir())] == ["PCM_16"] * 3
    assert read_audio(tmp_path / "without_ending").format == "FLAC"


# Lossy formats: same length, energy within 5 %, correlation above 0.99. Samples beyond ±1 saturate
# before the encoder, which overshoots by up to half, and never wrap.
@pytest.mark.parametrize(("ending", "subtype"), [("ogg", "VORBIS"), ("mp3", "MPEG_LAYER_III")])
def test_lossy_formats(tmp_path, ending, subtype):
    x_NC = np.repeat(sine_NC(RATE, 1.0), 2, axis=1)
    write_audio(tmp_path / f"a.{ending}", x_NC, RATE)
    audio = read_audio(tmp_path / f"a.{ending}")
    assert audio.subtype == subtype
    assert audio.samples_NC.shape == x_NC.shape
    y_NC = audio.samples_NC
    assert np.sum(y_NC**2) == pytest.approx(np.sum(x_NC**2), rel=0.05)
    assert np.corrcoef(x_NC[:, 0], y_NC[:, 0])[0, 1] > 0.99
    write_audio(tmp_path / f"loud.{ending}", 4 * x_NC, RATE)
    loud_NC = read_audio(tmp_path / f"loud.{ending}").samples_NC
    assert np.corrcoef(x_NC[:, 0], loud_NC[:, 0])[0, 1] > 0.9
    assert np.abs(loud_NC).max() < 1.5


def test_part_of_a_file(tmp_path):
    path, x_NC = tmp_path / "a.wav", noise_NC(100)
    write_audio(path, x_NC, RATE, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(path, start=30, frames=20).samples_NC, x_NC[30:50])
    np.testing.assert_array_equal(read_audio(path, start=99).samples_NC, x_NC[99:])
    np.testing.assert_array_equal(read_audio(path, start=90, frames=20).samples_NC, x_NC[90:])
    with pytest.raises(InputError, match=r"a\.wav: 100 samples, expected more than 100$"):
        read_audio(path, start=100)
    for wrong in ({"start": -1}, {"frames": 0}, {"frames": -2}):
        with pytest.raises(ValueError, match="expected start >= 0 and frames -1 or positive"):
            read_audio(path, **wrong)


rates = st.sampled_from([8000, 11025, 16000, 22050, 32000, 44100, 48000])


@settings(deadline=None, max_examples=40, derandomize=True)
@given(n=st.integers(0, 3000), channels=st.integers(1, 3), from_rate=rates, to_rate=rates)
def test_resampled_length(n, channels, from_rate, to_rate):
    x_NC = noise_NC(n, channels)
    y_NC = resample(x_NC, from_rate, to_rate)
    assert y_NC.shape == (round(n * to_rate / from_rate), channels)
    assert y_NC.dtype == np.float32
    if from_rate == to_rate:
        np.testing.assert_array_equal(y_NC, x_NC)


# Oracle: the same sine sampled at the other rate; 1e-3 of its amplitude, 50 ms from the edges.
def test_resampled_sine_keeps_frequency_and_amplitude():
    x_NC = sine_NC(44100, 2.0)
    low_NC = resample(x_NC, 44100, 16000)
    back_NC = resample(low_NC, 16000, 44100)
    for got_NC, expected_NC, rate in [(low_NC, sine_NC(16000, 2.0), 16000), (back_NC, x_NC, 44100)]:
        assert got_NC.shape == expected_NC.shape
        inner = slice(rate // 20, -rate // 20)
        np.testing.assert_allclose(got_NC[inner], expected_NC[inner], rtol=0, atol=0.5e-3)
    # What 16 kHz cannot hold is gone rather than aliased: below -80 dB.
    high_NC = resample(sine_NC(44100, 1.0, hz=10000.0), 44100, 16000)
    assert np.abs(high_NC[800:-800]).max() < 0.5e-4


def test_resampling_keeps_channels_apart_and_double_precision():
    x_NC = np.concatenate([sine_NC(48000, 0.2), 0 * sine_NC(48000, 0.2)], axis=1).astype(np.float64)
    y_NC = resample(x_NC, 48000, 44100)
    assert y_NC.dtype == np.float64
    assert not y_NC[:, 1].any()
    np.testing.assert_array_equal(y_NC[:, :1], resample(x_NC[:, :1], 48000, 44100))

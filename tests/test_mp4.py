"""Reading mp4 and m4a. Oracles: the sine that was encoded (AAC is lossy: correlation), and the corpus' own wav."""

from pathlib import Path

import av
import numpy as np
import pytest

from madsep_jax.audio import probe_audio, read_audio
from madsep_jax.errors import InputError

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"
RATE = 44100


def _write_m4a(path, samples_CN):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE, layout="stereo")
        for start in range(0, samples_CN.shape[1] - 1023, 1024):
            block = np.ascontiguousarray(samples_CN[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_an_encoded_sine_comes_back_in_both_channels(tmp_path):
    time = np.arange(20 * 1024) / RATE
    tones_CN = 0.5 * np.sin(2 * np.pi * np.array([[440.0], [660.0]]) * time).astype(np.float32)
    _write_m4a(tmp_path / "tones.m4a", tones_CN)
    audio = read_audio(tmp_path / "tones.m4a")
    assert (audio.sample_rate, audio.format, audio.subtype) == (RATE, "MP4", "AAC")
    assert probe_audio(tmp_path / "tones.m4a").frames == len(audio.samples_NC)
    inside = slice(4096, 16384)
    for channel in range(2):
        decoded, tone = audio.samples_NC[inside, channel], tones_CN[channel, inside]
        # any delay of the codec turns the phase only: compare the magnitudes of both at all frequencies
        spectra = [np.abs(np.fft.rfft(x * np.hanning(len(x)))) for x in (decoded, tone)]
        assert np.corrcoef(*spectra)[0, 1] > 0.999


def test_a_file_that_is_no_mp4_is_one_line(tmp_path):
    path = tmp_path / "song.m4a"
    path.write_bytes(b"not a film" * 100)
    with pytest.raises(InputError, match=r"song\.m4a: cannot be read as audio .*expected mp4 or m4a sound"):
        read_audio(path)


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not here")
def test_the_first_stream_of_a_stem_file_is_the_mixture():
    decoded = read_audio(CORPUS / "Music Delta - 80s Rock.stem.mp4")
    wav = read_audio(CORPUS / "Mixtures" / "Test" / "003 - Music Delta - 80s Rock" / "mixture.wav")
    length = len(decoded.samples_NC)
    assert 0 <= len(wav.samples_NC) - length < 1024  # newer decoders cut the padding of the last block off
    assert np.abs(decoded.samples_NC - wav.samples_NC[:length]).max() < 2 / 32768  # the wav has 16 bits

"""Sound files of every kind, by PyAV's encoders, and files that are cut, joined or have a hole."""

import av
import numpy as np

RATE = 44100


def chirps_NC(seconds=1.0, rate=RATE, channels=2):
    """Tones that rise and fall: shifted against themselves they correlate at one lag alone."""
    t_N = np.arange(round(seconds * rate)) / rate
    tones = [0.4 * np.sin(2 * np.pi * (300 + 200 * c + 400 * t_N / seconds) * t_N) for c in range(channels)]
    return np.stack(tones, axis=1).astype(np.float32)


def encode(
    path, codec, container, samples_NC, *, rate=RATE, samples=None, bit_rate=None, streams=1, tags=(), **options
):
    """Write a file; `samples` is FFmpeg's name of the encoder's sample format, the options are the container's."""
    layout = {1: "mono", 2: "stereo"}.get(samples_NC.shape[1], f"{samples_NC.shape[1]} channels")
    with av.open(path, "w", format=container, options=options) as file:
        file.metadata.update(dict(tags))
        for _ in range(streams):
            stream = file.add_stream(codec, rate=rate, layout=layout)
            if bit_rate:
                stream.bit_rate = bit_rate
            if samples:
                stream.format = samples
            stream.codec_context.open()
        for number, stream in enumerate(file.streams):
            interleaved = np.ascontiguousarray(samples_NC / 2**number).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=layout)
            frame.sample_rate, frame.pts = rate, 0
            size = stream.codec_context.frame_size or 1024
            converter = av.AudioResampler(stream.codec_context.format.name, layout, rate, frame_size=size)
            for part in [*converter.resample(frame), *converter.resample(None)]:
                file.mux(stream.encode(part))
            file.mux(stream.encode(None))
    return path


def piped(path, codec, container, samples_NC, **options):
    """Write a file that nothing was changed in after it was written, as a pipe has it."""

    class Pipe:
        name = path.name

        def write(self, data):
            return written.write(data)

    with path.open("wb") as written:
        encode(Pipe(), codec, container, samples_NC, **options)
    return path


def cut(path, part=0.6):
    """Cut a file short."""
    data = path.read_bytes()
    path.write_bytes(data[: round(len(data) * part)])
    return path


def with_hole(path, at=0.5, size=800):
    """Replace bytes by zeros."""
    data = bytearray(path.read_bytes())
    start = round(len(data) * at)
    data[start : start + size] = bytes(size)
    path.write_bytes(data)
    return path


def lag(found_N, expected_N):
    """Samples by which the first comes later than the second."""
    n = min(len(found_N), len(expected_N))
    spectra = [np.fft.rfft(np.asarray(x_N[:n], np.float64), 2 * n) for x_N in (found_N, expected_N)]
    best = int(np.fft.irfft(spectra[0] * np.conj(spectra[1])).argmax())
    return best if best < n else best - 2 * n


#: Cases whose last block the encoder has filled, by so many samples.
_FILLED = dict.fromkeys(("a_book.m4b", "v_film.mov", "x_m4a_as.mp3", "x_m4a_as.wav"), 344)


def filling_left_out(case):
    """Samples of the filling that are not decoded: FFmpeg's decoder leaves them out from PyAV 19 on."""
    return _FILLED.get(case, 0) if int(av.__version__.split(".")[0]) >= 19 else 0

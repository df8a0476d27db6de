"""The two files of a separated song: their sample format, their sum, and that they appear together."""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from madsep_jax.audio import FLOAT_SUBTYPES, PCM_BITS, AudioInfo, write_audio
from madsep_jax.errors import InputError, shown
from madsep_jax.host.files import aside_of

#: Names of the files, without their ending.
VOICE, ACCOMPANIMENT = "vocals", "accompaniment"

#: Sample formats of input files that need more than 16 bits; every other one, the lossy ones included, gets 16.
_SUBTYPES = {
    **dict.fromkeys(("PCM_24", "ALAC_20", "ALAC_24", "DWVW_24"), "PCM_24"),
    **dict.fromkeys(("PCM_32", "ALAC_32"), "PCM_32"),
    **dict.fromkeys(FLOAT_SUBTYPES, "FLOAT"),
}


def default_subtype(subtype: str, format: str) -> str:
    """Return the sample format of the output for that of the input; flac holds at most 24 bits."""
    found = _SUBTYPES.get(subtype, "PCM_16")
    return "PCM_24" if format == "flac" and found in ("PCM_32", "FLOAT") else found


def check_format(song: Path, info: AudioInfo, format: str, subtype: str) -> None:
    """Raise InputError where a file of this format cannot hold a song of this rate and so many channels."""
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / f"trial.{format}"
        try:
            write_audio(trial, np.zeros((1, info.channels)), info.sample_rate, subtype=subtype)
        except InputError as error:
            raise InputError(str(error).replace(shown(trial), f"{shown(song)} as {format}")) from error


def add_up(mixture_NC: np.ndarray, voice_NC: np.ndarray, subtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Return voice and accompaniment, float64, which add up to the mixture as files of this subtype too.

    For an integer subtype the voice takes the values that the file can hold, and only such that what is left of the
    mixture does not exceed full scale (±1); so the two add up to within half a code. The subtype is libsndfile's name,
    PCM_16, PCM_24, PCM_32, FLOAT, …. Raises InputError where the mixture exceeds the sum of two integer files, twice
    full scale.
    """
    mixture_NC, voice_NC = mixture_NC.astype(np.float64), voice_NC.astype(np.float64)
    if subtype in PCM_BITS:
        full_scale = 2.0 ** (PCM_BITS[subtype] - 1)
        low, high = -1.0, 1.0 - 1.0 / full_scale
        peak = float(np.abs(mixture_NC).max())
        if mixture_NC.min() < 2 * low or mixture_NC.max() > 2 * high:
            raise InputError(
                f"found samples of {peak:.2f} times full scale, expected at most 2 for {subtype} "
                "(--format wav --subtype FLOAT holds more)"
            )
        voice_NC = np.rint(voice_NC * full_scale) / full_scale
        voice_NC = voice_NC.clip(np.maximum(low, mixture_NC - high), np.minimum(high, mixture_NC - low))
    return voice_NC, mixture_NC - voice_NC


def write_pair(
    folder: Path, voice_NC: np.ndarray, accompaniment_NC: np.ndarray, sample_rate: int, format: str, subtype: str
) -> None:
    """Write both files aside, then rename them into `folder`, where they replace those of an earlier run.

    Raises InputError where the folder or disk does not take them; what was there before stays.
    """
    aside = aside_of(folder)
    try:
        aside.mkdir(parents=True, exist_ok=True)
        for name, samples_NC in ((VOICE, voice_NC), (ACCOMPANIMENT, accompaniment_NC)):
            write_audio(aside / f"{name}.{format}", samples_NC, sample_rate, subtype=subtype)
        folder.mkdir(exist_ok=True)
        for name in (VOICE, ACCOMPANIMENT):
            os.replace(aside / f"{name}.{format}", folder / f"{name}.{format}")
    except InputError as error:
        raise InputError(str(error).replace(shown(aside), shown(folder))) from error
    except OSError as error:
        raise InputError(f"{shown(folder)}: cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)

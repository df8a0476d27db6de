"""`madsep separate`: voice and accompaniment of sound files, by a trained separator."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from experiments.cli.console import ANY_DEVICE, DeviceOptions
from experiments.separator.options import SeparateOptions

USAGE = "Usage: madsep separate SONG… --out FOLDER [OPTIONS]"


def separate(
    *songs: Annotated[Path, Parameter(name="SONG", required=True)],
    options: SeparateOptions,
    device: DeviceOptions = ANY_DEVICE,
) -> int:
    """Separate songs into voice and accompaniment.

    Both are written at the song's own sample rate, number of channels and length, and add up to the song. A song that
    cannot be separated is reported, and the others are done: the exit code is 1 then, and 2 where nothing could be.

    Args:
        songs: Sound files and videos of any format, rate and number of channels; folders, for all that is in them and
            below; patterns, as "albums/**/*.flac".
    """
    from experiments.separator.batch import separate_all

    return separate_all(songs, options, device)

"""`madsep separate`: voice and accompaniment of sound files, by a trained separator."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from experiments.cli.console import ANY_DEVICE, Bar, DeviceOptions, make_console, say, show_device
from experiments.cli.options import Out, option_class
from experiments.separator.separated_files import (
    ACCOMPANIMENT,
    VOICE,
    add_up,
    check_format,
    default_subtype,
    write_pair,
)
from madsep_jax import separation
from madsep_jax.audio import AudioInfo, probe_audio, read_audio
from madsep_jax.checkpoint.folder import find_checkpoint, load_model
from madsep_jax.errors import InputError, shown
from madsep_jax.host.compiler import use_compilation_cache

USAGE = "Usage: madsep separate SONG… --out FOLDER --checkpoint FOLDER [OPTIONS]"


@option_class
class SeparateOptions:
    """By what to separate, and what to write where."""

    out: Annotated[Path, Out]
    """Folder of the results: SONG/vocals.wav and SONG/accompaniment.wav, by the song's file name without its ending.
    Files of an earlier run are replaced."""

    checkpoint: Path
    """Folder of a trained separator: a checkpoint, or a row of the ablation (runs/…/rows/…)."""

    which: Literal["latest", "best"] = "latest"
    """Which of the folder's checkpoints: of the last step, or the one with the best score."""

    format: Literal["wav", "flac"] = "wav"
    """Format of the files."""

    subtype: Literal["PCM_16", "PCM_24", "PCM_32", "FLOAT"] | None = None
    """Sample format of the files. Default: like the song's, at least 16 bits; 16 bits for mp3 and ogg. Flac holds at
    most 24 bits."""

    compilation_cache: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    """Keep compiled programs in the user's cache folder, so that the next command starts sooner."""


@dataclass(frozen=True)
class SongPlan:
    """One song, and what becomes of it."""

    song: Path
    info: AudioInfo
    folder: Path
    subtype: str


def separate(
    songs: Annotated[tuple[Path, ...], Parameter(name="SONG")],
    /,
    *,
    options: SeparateOptions,
    device: DeviceOptions = ANY_DEVICE,
) -> None:
    """Separate songs into voice and accompaniment.

    Both are written at the song's own sample rate, number of channels and length, and add up to the song.

    Args:
        songs: Sound files: wav, flac, ogg, mp3, m4a, of any sample rate, mono or stereo.
    """
    console = make_console()
    show_device(console, device)
    plans = plan_songs(songs, options)
    if options.compilation_cache:
        use_compilation_cache()
    config, variables = load_model(find_checkpoint(options.checkpoint), options.which)
    compiled: set[int] = set()
    with Bar(console, "songs", len(plans)) as bar:
        for plan in plans:
            mixture_NC = read_audio(plan.song).samples_NC
            start = time.perf_counter()
            voice_NC = separation.separate(config, variables, mixture_NC, plan.info.sample_rate).voice_NC
            seconds = time.perf_counter() - start
            try:
                pair = add_up(mixture_NC, voice_NC, plan.subtype)
            except InputError as error:
                raise InputError(f"{shown(plan.song)}: {error}") from error
            write_pair(plan.folder, *pair, plan.info.sample_rate, options.format, plan.subtype)
            line = _report(plan, seconds, with_compilation=plan.info.channels not in compiled)
            say(console, line)
            compiled.add(plan.info.channels)
            bar.advance()


def plan_songs(songs: tuple[Path, ...], options: SeparateOptions) -> list[SongPlan]:
    """Check all songs and all places for results, before anything is computed or written.

    Raises InputError where a song cannot be read, a place cannot be written, or two songs have one name.
    """
    _check_folder(options.out)
    plans: dict[str, SongPlan] = {}
    for song in songs:
        info = probe_audio(song)
        name = song.stem
        if not name.strip("."):
            raise InputError(f"{shown(song)}: found a name of dots alone, expected one that can name a folder")
        if name in plans:
            raise InputError(
                f"{shown(plans[name].song)} and {shown(song)}: found the name {name!r} twice, expected names that "
                "differ, as each names a folder of results"
            )
        subtype = options.subtype or default_subtype(info.subtype, options.format)
        check_format(song, info, options.format, subtype)
        plans[name] = SongPlan(song, info, options.out / name, subtype)
    for plan in plans.values():
        _check_folder(plan.folder)
        for part in (VOICE, ACCOMPANIMENT):
            _check_file(plan.folder / f"{part}.{options.format}", songs)
    return list(plans.values())


def _check_folder(folder: Path) -> None:
    """Raise InputError where a folder is not there and cannot be made, or cannot be written to."""
    path = folder.absolute()
    existing = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if not existing.is_dir():
        raise InputError(f"{shown(existing)}: found a file, expected a folder for the results")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{shown(existing)}: cannot be written to, expected a folder for the results")


def _check_file(path: Path, songs: tuple[Path, ...]) -> None:
    """Raise InputError where a result would replace a folder, or one of the songs."""
    if path.is_dir():
        raise InputError(f"{shown(path)}: found a folder, expected a place for a file of the results")
    if path.exists() and any(path.samefile(song) for song in songs):
        raise InputError(f"{shown(path)}: is one of the songs, and would be replaced by a result; choose another --out")


def _report(plan: SongPlan, seconds: float, *, with_compilation: bool) -> str:
    duration_s = plan.info.frames / plan.info.sample_rate
    note = ", with compilation" if with_compilation else ""
    return (
        f"{shown(plan.song)}: {duration_s:.1f} s of sound in {seconds:.2f} s, real-time factor "
        f"{seconds / duration_s:.3f}{note}, in {shown(plan.folder)}"
    )

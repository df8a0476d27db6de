"""The one table of names: what a sound file of a song is by its name, and which files and folders are passed over."""

import re
import unicodedata
from pathlib import Path

#: What a file is by its name, in any case, the words parted by anything. Of several files the first name's is taken.
ROLES = {
    "vocals": ("vocals", "vocal", "voice", "vox"),
    "mixture": ("mixture", "mix", "mixdown", "linear_mixture", "linear_mix", "full_mix", "original", "master"),
    "accompaniment": (
        "accompaniment",
        "instrumental",
        "instrumentals",
        "instrum",
        "no_vocals",
        "no_vocal",
        "background",
        "backing",
        "backing_track",
        "karaoke",
    ),
}

#: The parts of an accompaniment, in the order of DSD100 and MUSDB18: together they are all of it.
PARTS = ("drums", "bass", "other")

#: Parts that some separators give beside those three.
MORE_PARTS = ("guitar", "piano", "keys", "strings", "synth", "percussion")

#: The endings of sound files, in any case. Of a stem that is there as several, the first one is read.
ENDINGS = (
    *(".wav", ".wave", ".flac", ".w64", ".rf64", ".bwf", ".aiff", ".aif", ".aifc", ".caf", ".au", ".snd"),
    *(".wv", ".tta", ".ape", ".m4a", ".mp4", ".m4b", ".alac", ".aac", ".mp3", ".mp2", ".ogg", ".oga", ".opus"),
    *(".wma", ".ac3", ".eac3", ".mka", ".mkv", ".webm", ".mov", ".3gp", ".amr"),
)

#: A song as one file of several streams.
STEM_FILE_ENDING = ".stem.mp4"

#: Folders of a data set that mean a split, in any case.
SPLITS = {
    "train": ("train", "training", "dev"),
    "test": ("test", "testing"),
    "valid": ("valid", "validation", "val"),
}

#: Folders and files that systems and network drives leave everywhere.
_OF_SYSTEMS = {
    *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "lost+found", "$recycle.bin"),
    *("system volume information", "recycler", "__macosx", "network trash folder", "temporary items", "found.000"),
}

#: The songs of MUSDB18's training set that its authors keep for validation.
MUSDB18_VALIDATION = frozenset(
    {
        "ANiMAL - Rockshow",
        "Actions - One Minute Smile",
        "Alexander Ross - Goodbye Bolero",
        "Clara Berry And Wooldog - Waltz For My Victims",
        "Fergessen - Nos Palpitants",
        "James May - On The Line",
        "Johnny Lokke - Promises & Lies",
        "Leaf - Summerghost",
        "Meaxic - Take A Step",
        "Patrick Talbot - A Reason To Leave",
        "Skelpolu - Human Mistakes",
        "Traffic Experiment - Sirens",
        "Triviul - Angelsaint",
        "Young Griffo - Pennies",
    }
)


def composed(name: str) -> str:
    """Return a name in the one form (NFC) of those that Unicode has for it."""
    return unicodedata.normalize("NFC", name)


def words(name: str) -> list[str]:
    """Return the letters and digits of a name, in lower case, where anything else parts them."""
    return re.findall(r"[^\W_]+", composed(name).casefold())


def stem_name(name: str) -> str:
    """Return what a file is by its name without the ending: "vocals", "mixture", "accompaniment", or any other stem."""
    spelled = "_".join(words(name))
    if spelled in PARTS:
        return spelled
    return next((role for role, names in ROLES.items() if spelled in names), composed(name).casefold())


def rank(path: Path) -> tuple[int, int, str]:
    """Return what orders the files of one stem: the one to take comes first."""
    spelled, ending = "_".join(words(path.stem)), path.suffix.casefold()
    order = ROLES.get(stem_name(path.stem), (spelled,))
    return order.index(spelled), ENDINGS.index(ending) if ending in ENDINGS else len(ENDINGS), path.name


def is_sound(path: Path) -> bool:
    """Whether a file is one of sound by its name."""
    return path.suffix.casefold() in ENDINGS


def split_name(name: str) -> str | None:
    """Return "train", "test" or "valid" for a folder's name; None for any other."""
    return next((split for split, names in SPLITS.items() if name.casefold() in names), None)


def is_passed_over(path: Path) -> bool:
    """Whether a file or folder is one of the system's, or hidden."""
    return path.name.startswith(".") or path.name.casefold() in _OF_SYSTEMS

"""What the arguments of `madsep separate` stand for, and where results go. Oracle: lists written by hand."""

import errno
import os
from pathlib import Path

import pytest

pytest.importorskip("cyclopts")

from experiments.separator.songs import Names, Song, given_songs
from madsep_jax.errors import InputError


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(folder, *arguments, out="out"):
    songs = given_songs([folder / argument for argument in arguments], folder / out)
    return [(str(song.path.relative_to(folder)), song.folder) for song in songs.songs], songs.failures, songs.notes


def test_a_folder_stands_for_the_sound_files_below_it(tmp_path):
    touch(tmp_path, "Music/b.mp3", "Music/A/01.FLAC", "Music/A/cover.jpg", "Music/video.mkv", "Music/notes")
    touch(tmp_path, "Music/.hidden.wav", "Music/@eaDir/x.wav", "Music/.Trash/x.wav", "Music/__MACOSX/._b.mp3")
    songs, failures, notes = found(tmp_path, "Music")
    assert songs == [("Music/b.mp3", "Music"), ("Music/video.mkv", "Music"), ("Music/A/01.FLAC", "Music/A")]
    assert failures == []
    assert notes == [f"{tmp_path}/Music: passed over, as not named like sound: notes, cover.jpg"]


def test_results_within_the_folder_are_no_songs(tmp_path):
    touch(tmp_path, "Music/b.mp3", "Music/separated/b/vocals.wav")
    assert found(tmp_path, "Music", out="Music/separated")[0] == [("Music/b.mp3", "Music")]
    assert len(found(tmp_path, "Music", out="Music")[0]) == 2  # there it is not known yet which are results
    assert found(tmp_path, "Music/**/*.*", out="Music/separated")[0] == [("Music/b.mp3", "Music")]


def test_a_pattern_passes_over_what_systems_leave_too(tmp_path):
    touch(tmp_path, "Music/a.wav", "Music/@eaDir/a.wav", "Music/lost+found/b.wav", "__MACOSX/c.wav")
    assert found(tmp_path, "Music/**/*.wav")[0] == [("Music/a.wav", "Music")]
    assert found(tmp_path, "Music/*")[0] == [("Music/a.wav", "Music")]
    assert found(tmp_path, "__MACOSX/*.wav")[0] == [("__MACOSX/c.wav", "__MACOSX")]  # as it is named


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("Music/*/*.wav", {"Music/A/1.wav": "Music/A", "Music/B/1.wav": "Music/B"}),
        ("Music/**/*.wav", {"Music/0.wav": "Music", "Music/A/1.wav": "Music/A", "Music/B/1.wav": "Music/B"}),
        ("Music/[B]", {"Music/B/1.wav": "Music/B"}),
        ("Music/A/1.wa?", {"Music/A/1.wav": "A"}),
        ("Music/x[1].wav", {"Music/x[1].wav": "Music"}),  # there is such a file
    ],
)
def test_a_pattern_stands_for_what_it_matches(tmp_path, pattern, expected):
    touch(tmp_path, "Music/0.wav", "Music/A/1.wav", "Music/B/1.wav")
    if "x" in pattern:
        touch(tmp_path, "Music/x[1].wav", "Music/x1.wav")
    songs, failures, _ = found(tmp_path, pattern)
    assert (dict(songs), failures) == (expected, [])


def test_what_stands_for_nothing_is_named_and_each_song_is_taken_once(tmp_path, monkeypatch):
    touch(tmp_path, "a.wav", "empty/notes.txt")
    monkeypatch.chdir(tmp_path)
    songs = given_songs([Path("a.wav"), Path("empty"), Path("*.mp3"), tmp_path / "a.wav", Path("./a.wav")], Path("out"))
    assert [song.path for song in songs.songs] == [Path("a.wav")]
    assert songs.failures == [
        "empty: found no sound files, expected some, or a sound file",
        "*.mp3: matches nothing, expected a sound file, a folder, or a pattern",
    ]


def test_links_are_followed_and_none_in_a_circle(tmp_path, monkeypatch):
    touch(tmp_path, "Music/1.wav", "elsewhere/2.wav")
    (tmp_path / "Music/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "Music/self").symlink_to(tmp_path / "Music")
    expected = [("Music/1.wav", "Music"), ("Music/linked/2.wav", "Music/linked")]
    assert found(tmp_path, "Music")[0] == expected
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [song.path for song in given_songs([Path("~/Music/*.wav")], Path("out")).songs] == [tmp_path / "Music/1.wav"]


def test_a_folder_that_cannot_be_read_is_named_and_the_others_are_taken(tmp_path, monkeypatch):
    touch(tmp_path, "Music/1.wav", "Music/locked/2.wav")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    songs, failures, _ = found(tmp_path, "Music")
    assert [path for path, _ in songs] == ["Music/1.wav"]
    expected = f"{tmp_path}/Music/locked: cannot be read (Permission denied), expected a readable folder"
    assert failures == [expected]


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("{song}/{stem}.{ext}", "a song/vocals.flac"),
        ("{song}_{stem}.{ext}", "a song_vocals.flac"),
        ("{folder}/{song}.{songext}/{stem}.{ext}", "Music/A/a song.mp3/vocals.flac"),
        ("{stem}/{{{song}}}.{ext}", "vocals/{a song}.flac"),
    ],
)
def test_names_of_results(pattern, path):
    song = Song(Path("Music/A/a song.mp3"), "Music/A", True)
    assert Names(pattern, ["vocals", "accompaniment"]).path(Path("out"), song, "vocals", "flac") == Path("out") / path


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("{title}/{stem}.{ext}", "unknown field {title}, expected one of: {song}, {songext}, {folder}, {stem}, {ext}"),
        ("{song.__class__}/{stem}.{ext}", "unknown field {song.__class__}, expected one of"),
        ("{song[0]}/{stem}.{ext}", "unknown field {song[0]}, expected one of"),
        ("{}/{stem}.{ext}", "expected a path within --out"),
        ("{song!r}/{stem}.{ext}", "found a format for {song}"),
        ("{song:>99999999}/{stem}.{ext}", "found a format for {song}"),
        ("{song/{stem}.{ext}", "expected for example {song}/{stem}.{ext}"),
        ("../{song}/{stem}.{ext}", "expected a path within --out"),
        ("{song}/../../{stem}.{ext}", "expected a path within --out"),
        ("/tmp/{song}/{stem}.{ext}", "expected a path within --out"),
        ("{song}.{ext}", "gives vocals and accompaniment one name, expected {stem} in it"),
        ("{song}/{stem}.wav", "expected .{ext} at its end"),
    ],
)
def test_other_patterns_are_refused(pattern, expected):
    with pytest.raises(InputError) as error:
        Names(pattern, ["vocals", "accompaniment"])
    assert str(error.value).startswith(f"--name {pattern}: ")
    assert expected in str(error.value)


@pytest.mark.parametrize(("name", "folder"), [("...wav", "A"), ("a.wav", "A/../..")])
def test_a_song_cannot_lead_out_of_the_folder(name, folder):
    with pytest.raises(InputError, match="found a name of dots alone"):
        Names("{folder}/{song}/{stem}.{ext}", ["vocals"]).path(
            Path("out"), Song(Path(name), folder, True), "vocals", "wav"
        )

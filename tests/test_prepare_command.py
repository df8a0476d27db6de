"""The command that prepares sets: what it says, and what it leaves whatever interrupts it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_sets import RATE, files_in, write_songs, write_stems

pytest.importorskip("tensorflow_datasets")

from data_pipelines.prepared.index import find_set, read_index
from experiments.prepare import main

ROOT = Path(__file__).parents[1]
SMALL = ["--set", "signal.sample_rate=8000", "signal.window_length=65", "signal.hop_length=12"]
SMALL += ["signal.fft_length=160", "sequences.frames=8", "sequences.context=2"]

LIMITED = """
import resource, signal, sys
from experiments.prepare import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))
sys.exit(main())
"""


def arguments(songs, data_dir, *more, name="musdb18hq", processes=1):
    paths = ["--manual-dir", str(songs), "--data-dir", str(data_dir)]
    return [name, *paths, *SMALL, "--processes", str(processes), *more]


def start(songs, data_dir, *more, **options):
    """Start the command in a process of its own."""
    command = [sys.executable, "-m", "experiments.prepare", *arguments(songs, data_dir, *more, **options)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def songs(tmp_path):
    return write_songs(tmp_path / "songs")


def error_line(capsys):
    text = capsys.readouterr().err
    assert text.startswith("prepare: ")
    assert text.index("\n") == len(text) - 1
    return text


def test_says_what_it_will_do_and_what_it_did(songs, tmp_path, capsys):
    audio, _ = soundfile.read(songs / "train" / "train 1" / "mixture.wav", dtype="int16")
    audio[30] += 100  # does not add up to the stems by 100 steps
    audio[31:34, 0] = 32767
    soundfile.write(songs / "train" / "train 1" / "mixture.wav", audio, RATE)
    assert main(arguments(songs, tmp_path / "sets", "--features", "waveform")) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert (
        "4 tracks, 0.00 h: 116 sequences of 1,492 bytes, 0.00 GB in " in text
    )  # 149 samples, 2 · 2 channels, 16 bits; 300
    for row in ("train 3 0.00 393 100 ", "test 1 0.00 64 16 ", "all 4 0.00 457 116 "):
        assert row in text
    assert "the worst is train 1 (train), a difference " in text
    index = read_index(find_set(tmp_path / "sets"))
    assert [track.clipped for track in index.tracks] == [0, 0, 3, 0]


def test_a_set_that_is_there_is_checked_and_mended(songs, tmp_path, capsys):
    assert main(arguments(songs, tmp_path)) == 0
    folder = find_set(tmp_path)
    whole = files_in(folder)
    damaged, missing, short = sorted(folder.glob("*-train*"))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    missing.unlink()
    short.write_bytes(short.read_bytes()[:-1000])
    assert main(arguments(songs, tmp_path)) == 0
    assert files_in(folder) == whole
    assert not list(tmp_path.rglob("*.unfinished"))


def test_continues_after_a_bad_song(songs, tmp_path, capsys, monkeypatch):
    """A bad song is named before anything is written; one that turns bad after that leaves what is finished."""
    bad = songs / "train" / "train 2" / "drums.wav"
    good = bad.read_bytes()
    audio, _ = soundfile.read(bad, dtype="float32")
    soundfile.write(bad, np.where(np.arange(len(audio))[:, None] == 7, np.nan, audio), RATE, subtype="FLOAT")
    assert main(arguments(songs, tmp_path / "sets")) == 2
    assert "drums.wav: 2 NaN or infinite samples, the first at 0.000875 s" in error_line(capsys)
    assert not (tmp_path / "sets").exists()
    with monkeypatch.context() as patch:
        patch.setattr("experiments.data.songs.read_through", lambda found, _: found)
        patch.setattr("experiments.data.songs.FoundSongs.apart", lambda found: found)
        assert main(arguments(songs, tmp_path / "sets")) == 2
    assert "drums.wav: 2 NaN or infinite samples, the first at 0.000875 s" in error_line(capsys)
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.array_record*")}
    assert len(finished) == 3
    bad.write_bytes(good)
    assert main(arguments(songs, tmp_path / "sets")) == 0
    kept = {path.name: path.stat().st_mtime_ns for path in find_set(tmp_path / "sets").glob("*.array_record*")}
    assert {path.name: changed for path, changed in finished.items()}.items() <= kept.items()
    main(arguments(songs, tmp_path / "undisturbed"))
    assert files_in(find_set(tmp_path / "sets")) == files_in(find_set(tmp_path / "undisturbed"))


@pytest.mark.thorough
def test_several_processes_make_the_same_set(songs, tmp_path, capsys):
    assert main(arguments(songs, tmp_path / "one")) == 0
    with start(songs, tmp_path / "two", processes=2) as process:
        assert process.wait(120) == 0, process.stderr.read()
    assert files_in(find_set(tmp_path / "one")) == files_in(find_set(tmp_path / "two"))


@pytest.mark.thorough
def test_a_full_disk_is_one_line_and_what_is_finished_stays(tmp_path):
    """The largest shard does not fit; a disk of that size is played by the limit of a file's size."""
    songs = write_songs(tmp_path / "songs", train=(900, 40000, 950))

    command = [sys.executable, "-c", LIMITED, *arguments(songs, tmp_path / "sets")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert "-00001-of-00003: cannot be written (File too large); what is finished stays" in line
    names = sorted(path.name for path in tmp_path.rglob("*.array_record*"))
    assert names == ["musdb18hq-test.array_record-00000-of-00001", "musdb18hq-train.array_record-00000-of-00003"]
    assert not list(tmp_path.rglob("*.partial"))
    assert main(arguments(songs, tmp_path / "sets")) == 0


def test_no_room_is_said_before_it_starts(songs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    assert main(arguments(songs, tmp_path)) == 2
    assert "0.0 MB free, expected 0.5 MB" in error_line(capsys)
    assert not list(tmp_path.rglob("*.array_record*"))


def test_one_process_at_a_time(songs, tmp_path, capsys):
    import fcntl

    main(arguments(songs, tmp_path / "sets"))
    work = find_set(tmp_path / "sets")
    work = work.rename(work.with_name("elsewhere")).with_name("1.0.0.unfinished")
    work.mkdir()
    with (work / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main(arguments(songs, tmp_path / "sets")) == 2
    assert "1.0.0.unfinished: another process prepares this set" in error_line(capsys)


def test_short_songs(tmp_path, capsys):
    """A sequence is 4 frames of 12 samples at 8 kHz, 6 ms."""
    songs = write_songs(tmp_path / "songs", train=(1500, 30), test=(700,))
    assert main(arguments(songs, tmp_path / "sets")) == 0
    assert "train 1: 0.00 s, shorter than a sequence (0.01 s): filled with silence" in capsys.readouterr().out
    assert [track.records for track in read_index(find_set(tmp_path / "sets")).split("train")] == [33, 2]


def test_songs_without_a_sequence_are_left_out_by_name(tmp_path, capsys):
    """Of 6 frames and 30 samples; with `drop`, only sequences that the song fills are cut."""
    songs = write_songs(tmp_path / "songs", train=(1500, 30), test=(700,))
    more = ["--set", "sequences.frames=20", "sequences.context=0", "sequences.tail=drop"]
    assert main(arguments(songs, tmp_path / "sets", *more)) == 0
    assert "train 1: 0.00 s, shorter than a sequence (0.03 s): left out" in capsys.readouterr().out
    assert [track.name for track in read_index(find_set(tmp_path / "sets")).split("train")] == ["train 0"]
    nothing = write_songs(tmp_path / "nothing", train=(30,), test=(30,))
    assert main(arguments(nothing, tmp_path / "none", *more)) == 2
    assert "shorter than a sequence (0.03 s), and so are all others" in error_line(capsys)


def test_other_songs_are_not_mixed_in(songs, tmp_path, capsys):
    assert main(arguments(songs, tmp_path / "sets")) == 0
    capsys.readouterr()
    write_stems(songs / "train" / "another", 900, seed=8)
    assert main(arguments(songs, tmp_path / "sets")) == 2
    assert "is of other songs than those found; delete it to prepare it again" in error_line(capsys)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--dtype", "float16", "--features", "waveform"], "--dtype float16: is for spectrograms, waveforms are int16"),
        (["--set", "training.epochs=3"], "--set training.epochs=3: expected a field of signal or sequences"),
        (["--processes", "0"], "--processes: found 0, expected at least 1"),
        (["--set", "sequences.frames=8000000"], "records of less than 64 MiB"),
        (["--beam", "--runner=NoSuchRunner"], "Beam"),
    ],
)
def test_bad_options(songs, tmp_path, capsys, more, message):
    assert main(["musdb18hq", "--manual-dir", str(songs), "--data-dir", str(tmp_path), *more]) == 2
    assert message in error_line(capsys)


def test_without_a_folder_of_songs(tmp_path, capsys):
    assert main(["dsd100", "--data-dir", str(tmp_path), "--manual-dir", "/nowhere"]) == 2
    assert "/nowhere: no such folder, expected the folder of DSD100 or MUSDB18-HQ" in error_line(capsys)
    assert main(["dsd100", "--data-dir", str(tmp_path)]) == 2
    assert "--manual-dir: found none, expected the folder of the songs" in error_line(capsys)
    assert main(["dsd100", "--manual-dir", str(tmp_path)]) == 2
    assert "--data-dir: found none, expected the folder that the prepared set shall be in" in error_line(capsys)
    assert main(["dsd100", "--instructions"]) == 0
    text = capsys.readouterr().out
    assert "https://sigsep.github.io/datasets/dsd100.html" in text
    assert "Licence: For research and education" in text
    assert "@inproceedings{SiSEC16" in text


def killed_at_random(songs, data_dir, kills, seed):
    """Prepare with 2 processes, killed so many times; returns how many shards were there at each kill.

    Each time it may finish a few more shards, and is killed within the time that it takes for one more.
    """
    random, shards = np.random.default_rng(seed), [0]

    def found():
        return len(list(data_dir.rglob("*.array_record-*")))

    for _ in range(kills):
        with start(songs, data_dir, processes=2) as process:
            wanted = shards[-1] + random.integers(0, 8)
            while process.poll() is None and found() < wanted:
                time.sleep(0.002)
            time.sleep(random.uniform(0, 0.2))
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert process.returncode == -signal.SIGKILL
        shards.append(found())
    return shards[1:]


@pytest.mark.slow
def test_killed_ten_times_the_set_is_the_same(tmp_path):
    songs = write_songs(tmp_path / "songs", train=[20000 + 100 * number for number in range(60)])
    with start(songs, tmp_path / "undisturbed", processes=2) as process:
        assert process.wait(300) == 0, process.stderr.read()
    shards = killed_at_random(songs, tmp_path / "killed", kills=10, seed=1)
    assert shards == sorted(shards)  # nothing that is finished gets lost
    assert 0 < shards[-1] < 61
    with start(songs, tmp_path / "killed", processes=2) as process:
        assert process.wait(300) == 0, process.stderr.read()
    assert files_in(tmp_path / "killed") == files_in(tmp_path / "undisturbed")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("vocals", "mixture"), "nothing to compare, as no song has both a mixture and its parts"),
        (("vocals", "accompaniment"), "nothing to compare"),
        (("vocals", "drums", "bass", "other", "accompaniment"), "nothing to compare"),
    ],
)
def test_sums_are_not_said_of_songs_without_a_mixture_or_parts(tmp_path, capsys, names, expected):
    write_stems(tmp_path / "songs" / "train" / "A", 900, 1, names, mixture=False)
    assert main(arguments(tmp_path / "songs", tmp_path / "sets", name="stems_folder")) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"Stems against mixture: {expected}" in text
    assert "add up exactly" not in text
    assert read_index(find_set(tmp_path / "sets")).tracks[0].sum_error is None


def test_musdb18s_validation_list_becomes_a_split(tmp_path):
    songs = write_songs(tmp_path / "songs")
    write_stems(songs / "train" / "Leaf - Summerghost", 900, 7)
    assert main(arguments(songs, tmp_path / "sets", "--validation-split")) == 0
    index = read_index(find_set(tmp_path / "sets"))
    assert [track.name for track in index.split("valid")] == ["Leaf - Summerghost"]
    assert len(index.split("train")) == 3


def test_a_song_that_has_changed_is_named(songs, tmp_path, capsys):
    """Sets of before the content was kept are checked as they were."""
    from data_pipelines.prepared.index import FILE_NAME
    from madsep_jax.host.files import read_json, write_json

    assert main(arguments(songs, tmp_path)) == 0
    index = read_index(find_set(tmp_path))
    assert len({track.fingerprint for track in index.tracks}) == 4
    shutil.copy(songs / "train" / "train 1" / "bass.wav", songs / "train" / "train 1" / "drums.wav")
    assert main(arguments(songs, tmp_path)) == 2
    assert "train 1: is not as it was when the set was prepared; delete " in error_line(capsys)
    content = read_json(find_set(tmp_path) / FILE_NAME)
    for track in content["tracks"]:
        del track["fingerprint"]
    write_json(find_set(tmp_path) / FILE_NAME, content)
    assert read_index(find_set(tmp_path)).content() == content
    assert main(arguments(songs, tmp_path)) == 0

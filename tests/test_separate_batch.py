"""`madsep separate` on many songs: one bad file does not end the others. Oracle: files and lines written by hand."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

sf = pytest.importorskip("soundfile")
pytest.importorskip("soxr")
pytest.importorskip("av")
pytest.importorskip("cyclopts")

from encoded import filling_left_out
from tiny_checkpoint import save_model

from experiments.madsep import main
from experiments.separator import trained
from madsep_jax.checkpoint.folder import Weights
from madsep_jax.config.presets import preset_config

CASES = Path(__file__).parents[2] / "shared" / "cases" / "audio"


@pytest.fixture(scope="module")
def row(tmp_path_factory):
    """The folder of an ablation's row."""
    folder = tmp_path_factory.mktemp("row")
    save_model(folder / "checkpoint", mask=0.5, noise=0.3)
    return folder


def write(path, seconds=0.3, channels=1, rate=8000, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = round(seconds * rate)
    samples_NC = np.random.default_rng(frames + channels).uniform(-0.9, 0.9, (frames, channels))
    sf.write(path, samples_NC, rate, **options)
    return samples_NC


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def run(row, out, *arguments):
    return main(["separate", *map(str, arguments), "--out", str(out), "--checkpoint", str(row)])


def test_seven_of_ten_are_done_and_three_named(tmp_path, row, capsys):
    songs = tmp_path / "songs"
    for number in range(7):
        write(songs / f"{number}.wav", 0.2 + number / 100, channels=1 + number % 2)
    (songs / "3b.mp3").write_bytes(b"no sound " * 99)
    (songs / "5b.wav").touch()
    write(songs / "nan.wav", subtype="FLOAT")
    samples_NC, rate = sf.read(songs / "nan.wav", always_2d=True)
    samples_NC[1000] = np.nan
    sf.write(songs / "nan.wav", samples_NC, rate, subtype="FLOAT")
    assert run(row, tmp_path / "out", songs) == 1
    expected = [f"{number}/{stem}.wav" for number in range(7) for stem in ("accompaniment", "vocals")]
    assert files(tmp_path / "out") == expected
    output = capsys.readouterr()
    assert output.out.count("real-time factor") == 7
    title, *lines = output.err.splitlines()
    assert title == "madsep: 3 of 10 songs were not separated:"
    starts = [
        "3b.mp3: cannot be read as audio",
        "5b.wav: is empty",
        "nan.wav: 1 NaN or infinite samples, the first at 0.125000 s",
    ]
    for line, start in zip(lines, starts, strict=True):
        assert line.startswith(f"  {songs}/{start}")


@pytest.mark.skipif(not CASES.is_dir(), reason="the example files are not there")
def test_files_of_all_kinds_are_separated_to_their_end(tmp_path, row, capsys):
    """Oracle: rate, channels and samples as FFmpeg decodes them."""
    name = "{song}.{songext}/{stem}.{ext}"
    assert run(row, tmp_path / "out", CASES, "--name", name, "--subtype", "PCM_16") == 0
    lines = [line.split(",") for line in (CASES / "expected.csv").read_text().split()[1:]]
    for stem in ("vocals", "accompaniment"):
        infos = [sf.info(tmp_path / "out" / file / f"{stem}.wav") for file, *_ in lines]
        found = [[str(number) for number in (info.samplerate, info.channels, info.frames)] for info in infos]
        assert found == [[*form, str(int(samples) - filling_left_out(name))] for name, *form, samples in lines]
    output = capsys.readouterr().out
    damaged = [line for line in output.splitlines() if "missing: " in line]
    assert [Path(line.split(": ")[0]).name for line in damaged] == [
        name for name, *_ in lines if name.startswith(("t_", "m_damaged"))
    ]
    assert "m_damaged_mid.mp3: samples beyond twice full scale were cut: 1 (" in output


def test_where_nothing_can_be_done_the_exit_code_is_2(tmp_path, row, capsys):
    (tmp_path / "empty.wav").touch()
    assert run(row, tmp_path / "out", tmp_path / "empty.wav", tmp_path / "missing.wav") == 2
    title, *lines = capsys.readouterr().err.splitlines()
    assert title == "madsep: 2 of 2 songs were not separated:"
    assert [line.split(": ")[1].split(",")[0] for line in lines] == ["is empty (0 bytes)", "no such file"]
    assert not (tmp_path / "out").exists()


def test_songs_whose_results_are_there_are_left_out_on_request(tmp_path, row, capsys):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.wav")
    songs, out = [tmp_path / "a.wav", tmp_path / "b.wav"], tmp_path / "out"
    assert run(row, out, *songs) == 0
    (out / "b" / "vocals.wav").unlink()
    (out / "a" / "vocals.wav").write_text("kept")
    capsys.readouterr()
    assert run(row, out, *songs, "--skip-existing") == 0
    assert "1 of 2 songs left out, as their results are there" in capsys.readouterr().out
    assert (out / "a" / "vocals.wav").read_text() == "kept"
    assert sf.info(out / "b" / "vocals.wav").frames == 2400
    assert run(tmp_path / "none", out, *songs, "--skip-existing") == 0  # nothing is loaded
    assert run(row, out, *songs, "--skip-existing", tmp_path / "missing.wav") == 1


@pytest.mark.parametrize("before", ["wav", "flac", "ogg", "mp3"])
def test_results_in_another_format_are_replaced_and_nothing_else_is(tmp_path, row, capsys, before):
    rate, after = 22050, "wav" if before == "flac" else "flac"
    write(tmp_path / "a.wav", rate=rate)
    write(tmp_path / "b.wav", rate=rate)
    write(tmp_path / "out" / "b" / f"vocals.{before}", rate=rate)  # not by this command
    song, out = tmp_path / "out" / "b" / f"accompaniment.{before}", tmp_path / "out"
    write(song, rate=rate)
    assert run(row, out, tmp_path / "a.wav", "--format", before) == 0
    (out / "a" / "note.txt").touch()
    capsys.readouterr()
    assert run(row, out, tmp_path / "a.wav", tmp_path / "b.wav", song, "--format", after.upper()) == 0
    assert f"in the place of vocals.{before}, accompaniment.{before}, in {out}/a" in capsys.readouterr().out
    pair = [f"accompaniment.{after}", f"vocals.{after}"]
    expected = [f"a/{name}" for name in [*pair, "note.txt"]] + [f"accompaniment/{name}" for name in pair]
    expected += [f"b/{name}" for name in [*pair, f"accompaniment.{before}", f"vocals.{before}"]]
    assert files(out) == sorted(expected)


def test_two_songs_of_one_name_are_refused_and_parted_by_a_pattern(tmp_path, row, capsys):
    songs = [tmp_path / name for name in ("A/01.wav", "B/01.wav", "B/01.flac")]
    for song in songs:
        write(song)
    out = tmp_path / "out"
    assert run(row, out, *songs[:2]) == 2
    error = capsys.readouterr().err
    assert f"{songs[0]} and {songs[1]}: found one place, {out}/01/vocals.wav, for the results of both" in error
    assert '--name "{folder}/{song}/{stem}.{ext}" parts them' in error
    assert run(row, out, *songs[1:]) == 2
    assert '--name "{song}.{songext}/{stem}.{ext}" parts them' in capsys.readouterr().err
    assert not out.exists()
    assert run(row, out, *songs, "--name", "{folder}/{song}-{songext}_{stem}.{ext}", "--stems", "vocals") == 0
    assert files(out) == ["A/01-wav_vocals.wav", "B/01-flac_vocals.wav", "B/01-wav_vocals.wav"]


def test_results_beside_the_songs_are_not_separated_again(tmp_path, row):
    write(tmp_path / "a.wav")
    for _ in range(2):
        assert run(row, tmp_path, tmp_path) == 0
    assert files(tmp_path) == ["a.wav", "a/accompaniment.wav", "a/vocals.wav"]


def test_a_song_where_a_result_would_be_is_neither_left_out_nor_replaced(tmp_path, row, capsys):
    """A folder of songs with their stems, separated into itself."""
    write(tmp_path / "a.wav")
    write(tmp_path / "a" / "vocals.wav", seconds=0.2)  # not by this command
    before = (tmp_path / "a" / "vocals.wav").read_bytes()
    assert run(row, tmp_path, tmp_path) == 1
    assert (tmp_path / "a" / "vocals.wav").read_bytes() == before
    assert "a/vocals.wav: is one of the songs, and would be replaced by a result" in capsys.readouterr().err
    assert files(tmp_path) == ["a.wav", "a/vocals.wav", "vocals/accompaniment.wav", "vocals/vocals.wav"]


def test_a_full_disk_ends_the_batch(tmp_path, row, capsys, monkeypatch):
    for name in ("a", "b", "c"):
        write(tmp_path / f"{name}.wav")
    replace, full = os.replace, []

    def no_room(source, place):
        if Path(place).parent.name == "b":
            full.append(place)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(source, place)

    monkeypatch.setattr(os, "replace", no_room)
    out = tmp_path / "out"
    assert run(row, out, *(tmp_path / f"{name}.wav" for name in "abc")) == 1
    title, *lines = capsys.readouterr().err.splitlines()
    assert title == "madsep: 2 of 3 songs were not separated:"
    assert lines == [
        f"  {out}/b/vocals.wav: cannot be written (No space left on device), expected room for it",
        f"  {tmp_path}/c.wav: not begun, as the disk is full",
    ]
    assert len(full) == 1
    assert files(out) == ["a/accompaniment.wav", "a/vocals.wav"]


def test_the_newest_finished_row_is_taken_where_none_is_named(tmp_path, row, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.wav")
    assert main(["separate", "a.wav", "-o", "out"]) == 2
    error = capsys.readouterr().err
    for part in (f"no finished row under {tmp_path}/runs", "python -m experiments.ablation", "madsep import", "minute"):
        assert part in error
    rows = Path("runs/quick/rows")
    for number, (name, status) in enumerate([("old", "done"), ("new", "done"), ("bad", "failed: NaN"), ("on", "")]):
        save_model(rows / name / "checkpoint", mask=0.5, noise=0.3)
        if status:
            (rows / name / "row.json").write_text(f'{{"status": "{status}"}}')
            os.utime(rows / name / "row.json", (number, number))
    (rows / "mixture").mkdir()
    (rows / "mixture" / "row.json").write_text('{"status": "done"}')  # a row without weights
    assert main(["separate", "a.wav", "-o", "out"]) == 0
    assert "separator: runs/quick/rows/new/checkpoint (custom-gru" in capsys.readouterr().out
    save_model(Path("runs/published"), mask=0.5, noise=0.3)
    assert main(["separate", "a.wav", "-o", "out"]) == 0
    assert "separator: runs/published (custom-gru" in capsys.readouterr().out


def test_a_quick_model_says_what_it_does_not_hear():
    def line(preset):
        return trained.describe(Path("x"), preset_config(preset), Weights("best", 40))

    assert "preset quick, best weights, step 40); hears nothing above 5.5 kHz" in line("quick")
    assert "hears" not in line("paper")


def test_device_can_be_chosen(tmp_path, row, capsys):
    write(tmp_path / "a.wav")
    assert run(row, tmp_path / "out", tmp_path / "a.wav", "--device", "CPU") == 0
    assert run(row, tmp_path / "out", tmp_path / "a.wav", "--device", "cpu:99") == 2
    assert "madsep: --device cpu:99: found cpu:0" in capsys.readouterr().err
    assert run(row, tmp_path / "out", tmp_path / "a.wav", "--device", "abacus") == 2


def test_progress_within_a_song_is_told(tmp_path, row, monkeypatch):
    write(tmp_path / "a.wav", seconds=3)
    told = []
    monkeypatch.setattr("experiments.separator.batch.Bar.advance_to", lambda _, *done: told.append(done))
    assert run(row, tmp_path / "out", tmp_path / "a.wav") == 0
    assert told[0] == (0, "reading")
    percents = [percent for percent, _ in told]
    assert percents == sorted(percents)
    assert len(percents) > 3
    assert told[-1] == (100, "3 of 3 s")

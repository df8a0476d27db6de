"""Bad input of `madsep separate`: one line that names it. The other songs are done, but where the command is wrong."""

import shutil

import numpy as np
import pytest

sf = pytest.importorskip("soundfile")
pytest.importorskip("soxr")
pytest.importorskip("cyclopts")

from tiny_checkpoint import save_model

from experiments.madsep import main


@pytest.fixture(scope="module")
def row(tmp_path_factory):
    """The folder of an ablation's row."""
    folder = tmp_path_factory.mktemp("row")
    save_model(folder / "checkpoint", mask=0.5, noise=0.3)
    return folder


def noise_NC(frames=3001, channels=1, peak=0.9):
    return np.random.default_rng(frames + channels).uniform(-peak, peak, (frames, channels))


def _error(capsys):
    """The one line on stderr."""
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert "Traceback" not in text
    return text


def _touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def _write(path, samples_NC=None, rate=8000, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, noise_NC() if samples_NC is None else samples_NC, rate, **options)


def _with_nan():
    samples_NC = noise_NC()
    samples_NC[1000] = np.nan
    return samples_NC


#: What is there beside good.wav, the arguments after it, and the error; good.wav is separated. {d} is the folder.
BAD_SONGS = {
    "missing": (lambda d: None, ["{d}/bad.wav"], "{d}/bad.wav: no such file, expected an audio file"),
    "folder": (lambda d: (d / "bad.wav").mkdir(), ["{d}/bad.wav"], "{d}/bad.wav: found no sound files, expected"),
    "empty": (lambda d: _touch(d / "bad.wav"), ["{d}/bad.wav"], "{d}/bad.wav: is empty (0 bytes), expected"),
    "not audio": (
        lambda d: (d / "bad.wav").write_text("no sound " * 99),
        ["{d}/bad.wav"],
        "{d}/bad.wav: cannot be read as audio",
    ),
    "no samples": (
        lambda d: _write(d / "bad.wav", noise_NC()[:0]),
        ["{d}/bad.wav"],
        "{d}/bad.wav: 0 samples, expected at least one",
    ),
    "name of dots": (
        lambda d: _write(d / "...wav", format="WAV"),
        ["{d}/...wav"],
        "{d}/...wav: found a name of dots alone",
    ),
    "result is a song": (
        lambda d: _write(d / "out/vocals/vocals.wav"),
        ["{d}/out/vocals/vocals.wav"],
        "{d}/out/vocals/vocals.wav: is one of the songs, and would be replaced",
    ),
    "flac of 9 channels": (
        lambda d: _write(d / "nine.wav", noise_NC(channels=9)),
        ["{d}/nine.wav", "--format", "flac"],
        "{d}/nine.wav as flac: 9 channels at 8000 Hz, expected what FLAC can hold",
    ),
    "a name too long": (
        lambda d: _write(d / f"{'x' * 240}.wav"),
        [f"{{d}}/{'x' * 240}.wav", "--name", "{song}_and_its_{stem}.{ext}"],
        f"{{d}}/out/{'x' * 240}_and_its_vocals.wav: found a name of more than 255 bytes; choose another --name",
    ),
}

#: The same, where nothing can be done.
BAD_COMMANDS = {
    "same name": (
        lambda d: _write(d / "other/good.flac"),
        ["{d}/other/good.flac"],
        "{d}/good.wav and {d}/other/good.flac: found one place, {d}/out/good/vocals.wav, for the results of both",
    ),
    "result is a folder": (
        lambda d: (d / "out/good/accompaniment.wav").mkdir(parents=True),
        [],
        "{d}/out/good/accompaniment.wav: found a folder, expected a place for a file",
    ),
    "song's folder is a file": (
        lambda d: _touch(d / "out/good"),
        [],
        "{d}/out/good: found a file, expected a folder for the results",
    ),
    "out is a file": (lambda d: _touch(d / "out"), [], "{d}/out: found a file, expected a folder for the results"),
    "out is within a file": (
        lambda d: _touch(d / "f"),
        ["--out", "{d}/f/out"],
        "{d}/f: found a file, expected a folder for the results",
    ),
    "flac of floats": (
        lambda d: None,
        ["--format", "flac", "--subtype", "FLOAT"],
        "{d}/good.wav as flac: FLAC has no subtype 'FLOAT', expected one of: PCM_16, PCM_24, PCM_S8",
    ),
    "no checkpoint": (
        lambda d: None,
        ["--checkpoint", "{d}/none"],
        "{d}/none: not a checkpoint, expected a folder with config.json and weights",
    ),
    "checkpoint is a file": (
        lambda d: None,
        ["--checkpoint", "{d}/good.wav"],
        "{d}/good.wav: not a checkpoint, expected a folder with config.json and weights",
    ),
}


def _run(folder, row, extra):
    arguments = ["separate", str(folder / "good.wav"), *(text.replace("{d}", str(folder)) for text in extra)]
    if "--out" not in extra:
        arguments += ["-o", str(folder / "out")]
    if "--checkpoint" not in extra:
        arguments += ["--checkpoint", str(row)]
    return main(arguments)


@pytest.mark.parametrize("case", BAD_COMMANDS)
def test_bad_input_is_found_before_anything_is_written(tmp_path, row, capsys, case):
    prepare, extra, expected = BAD_COMMANDS[case]
    _write(tmp_path / "good.wav")
    prepare(tmp_path)
    before = _files(tmp_path)
    assert _run(tmp_path, row, extra) == 2
    assert _error(capsys).startswith("madsep: " + expected.replace("{d}", str(tmp_path)))
    assert _files(tmp_path) == before


@pytest.mark.parametrize("case", BAD_SONGS)
def test_a_bad_song_is_named_and_the_other_is_done(tmp_path, row, capsys, case):
    prepare, extra, expected = BAD_SONGS[case]
    _write(tmp_path / "good.wav")
    prepare(tmp_path)
    before = _files(tmp_path)
    assert _run(tmp_path, row, extra) == 1
    title, line = capsys.readouterr().err.splitlines()
    assert title == "madsep: 1 of 2 songs were not separated:"
    assert line.startswith("  " + expected.replace("{d}", str(tmp_path)))
    new = {path for path in _files(tmp_path).keys() - before.keys() if path.is_file()}
    assert {path.stem.rpartition("_")[2] for path in new} == {"vocals", "accompaniment"}
    assert all("good" in str(path.relative_to(tmp_path / "out")) for path in new)
    assert len(new) == 2


def test_nan_is_found_when_the_song_is_read(tmp_path, row, capsys):
    song = tmp_path / "bad.wav"
    _write(song, _with_nan(), subtype="FLOAT")
    assert main(["separate", str(song), "-o", str(tmp_path / "out"), "--checkpoint", str(row)]) == 2
    assert _error(capsys).startswith(f"madsep: {song}: 1 NaN or infinite samples, the first at 0.125000 s, expected")
    assert not (tmp_path / "out").exists()


def _break_json(folder):
    (folder / "config.json").write_text("{")


def _rename_field(folder):
    path = folder / "config.json"
    path.write_text(path.read_text().replace("hop_length", "hop_lenght"))


def _remove_weights(folder):
    shutil.rmtree(folder / "0")


def _cut_weights(folder):
    for path in (folder / "0" / "weights").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (_break_json, "/config.json: cannot be read as JSON: "),
        (_rename_field, "/config.json.signal: unknown field 'hop_lenght', did you mean 'hop_length'?"),
        (_remove_weights, ": no weights, expected a folder that training has saved"),
        (_cut_weights, ": the weights of step 0 cannot be read: "),
    ],
)
def test_damaged_checkpoint(tmp_path, row, capsys, damage, expected):
    song, checkpoint = tmp_path / "song.wav", tmp_path / "checkpoint"
    _write(song)
    shutil.copytree(row / "checkpoint", checkpoint)
    damage(checkpoint)
    assert main(["separate", str(song), "-o", str(tmp_path / "out"), "--checkpoint", str(checkpoint)]) == 2
    assert _error(capsys).startswith(f"madsep: {checkpoint}{expected}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["separate", "-o", "out", "--checkpoint", "c"], ["SONG", "requires an argument"]),
        (["separate", "a.wav", "--checkpoint", "c"], ["--out", "requires an argument"]),
        (["separate", "a.wav", "-o", "out", "--subtype", "PCM_8"], ["PCM_8", "--subtype", "PCM_16", "PCM_24"]),
        (["separate", "a.wav", "-o", "out", "--bitrate", "fast"], ["--bitrate", "fast", "192 or 192k"]),
        (["separate", "a.wav", "-o", "out", "--bitrate", "192"], ["--bitrate", "no such option, as wav has none"]),
        (
            ["separate", "a.wav", "-o", "out", "--format", "mp3", "--subtype", "PCM_16"],
            ["--subtype: found PCM_16, expected no such option, as mp3 has one alone"],
        ),
        (["separate", "a.wav", "-o", "out", "--start", "-1"], ["--start: found -1.0, expected seconds, 0 or more"]),
        (["separate", "a.wav", "-o", "out", "--duration", "0"], ["--duration: found 0.0, expected seconds, more than"]),
        (["separate", "a.wav", "-o", "out", "--duration", "inf"], ["--duration: found inf, expected seconds, more"]),
        (["separate", "a.wav", "-o", "out", "--start", "1e305"], ["--start: found 1e+305, expected seconds, 0"]),
        (["separate", "a.wav", "-o", "out", "--mask-limit", "0"], ["--mask-limit: found 0.0, expected a number above"]),
        (["separate", "a.wav", "-o", "out", "--mask-limit", "nan"], ["--mask-limit: found nan, expected a number"]),
        (["separate", "a.wav", "-o", "out", "--stems", "drums"], ["--stems", "drums", "vocals"]),
        (["separate", "a.wav", "-o", "out", "--name", "{title}"], ["unknown field {title}", "{song}", "{stem}"]),
        (["separate", "a.wav", "-o", "out", "--chekpoint", "c"], ["--chekpoint", "--checkpoint"]),
        (["separate", "a.wav", "-o", "out", "--checkpoint", "c", "--format", "wave"], ["wave", "--format", "wav"]),
        (["separate", "a.wav", "-o", "out", "--checkpoint", "c", "-z"], ["-z", "--format"]),
        (["sep", "a.wav"], ["sep", "separate"]),
    ],
)
def test_bad_options(tmp_path, capsys, monkeypatch, arguments, parts):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    line = _error(capsys)
    assert line.startswith("madsep: ")
    for part in parts:
        assert part in line
    assert not any(tmp_path.iterdir())


def _files(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}

"""Files of separated songs by the names that separators give them: which is taken for which source, and said."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("soundfile")

import soundfile

from data_pipelines.songs.tracks import TrackAudio
from experiments.evaluation.estimates import REST, EstimateFolder
from experiments.scoring.song_scores import TARGETS
from madsep_jax.errors import InputError

CASES = Path(__file__).parents[2] / "shared" / "cases" / "estimates"
RATE, N = 8000, 100
SONGS = ["James May - On The Line", "Ünï (Live)", "Test 0", "Test 00", "A_live", "A"]
VOICE, BACKING, OTHER = 0.25, 0.5, 0.125


class FakeTrack:
    """A song of which only what is compared with its estimates is known."""

    split, sample_rate, channels, duration_s, stems = "test", RATE, 2, N / RATE, ("vocals",)

    def __init__(self, name):
        self.name = name


def write(folder, files):
    """Files of a constant each."""
    for name, value in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, np.full((N, 2), value, np.float32), RATE, format="WAV")


def system(folder, targets=TARGETS, pattern="", songs=SONGS):
    return EstimateFolder(folder, targets, songs, lambda line: None, pattern)


def levels(folder, song, **options):
    """The level of each target's estimate, of a mixture of 1."""
    mixture_NC = np.ones((N, 2), np.float32)
    found = system(folder, **options).read(FakeTrack(song), TrackAudio(RATE, mixture_NC, {"vocals": mixture_NC}))
    return {target: float(samples_NC[0, 0]) for target, samples_NC in found.items()}


#: As Demucs, Spleeter, Open-Unmix, MSST, UVR, audio-separator and others name them.
NAMES = [
    ("{}/vocals.wav", "{}/no_vocals.wav"),
    ("{}/Vocals.WAV", "{}/Instrumental.wav"),
    ("{}/vocals.wav", "{}/accompaniment.wav"),
    ("test/{}/vocals.wav", "test/{}/instrumental.wav"),
    ("htdemucs/{}/vocals.wav", "htdemucs/{}/no_vocals.wav"),
    ("{}_umxl/vocals.wav", "{}_umxl/accompaniment.wav"),
    ("{}_vocals.wav", "{}_instrumental.wav"),
    ("{}-vocals.wav", "{}-no_vocals.wav"),
    ("{} (Vocals).wav", "{} (Instrumental).wav"),
    ("1_{}_(Vocals).wav", "1_{}_(Instrumental).wav"),
    ("1_{}_(Vocals).wav", "1_{}_(No Vocals).wav"),
    ("12_{}_UVR-MDX-NET-Voc_FT_(Vocals).wav", "12_{}_UVR-MDX-NET-Voc_FT_(Instrumental).wav"),
    ("{}_(Vocals)_model_bs_roformer.wav", "{}_(Instrumental)_mel_band_roformer_vocals_v1.wav"),
    ("{}/mixture/vocals.wav", "{}/mixture/instrumental.wav"),
    ("{}/mixture_vocals.wav", "{}/mixture_accompaniment.wav"),
    ("{}/1_mixture_(Vocals).wav", "{}/1_mixture_(Instrumental).wav"),
    ("{0}/{0}_vocals.wav", "{0}/{0}_instrum.wav"),
    ("vocals/{}.wav", "instrumental/{}.wav"),
    ("vocals_{}.wav", "background_{}.wav"),
    ("{}/vocals.wav", "{}/other.wav"),
]


@pytest.mark.parametrize(("voice", "backing"), NAMES)
def test_files_are_found_by_the_names_of_common_tools(tmp_path, voice, backing):
    for number, song in enumerate(SONGS):
        part = 1 + number / 64  # so that each song has values of its own
        write(tmp_path, {voice.format(song): VOICE * part, backing.format(song): BACKING * part})
    for number, song in enumerate(SONGS):
        part = 1 + number / 64
        assert levels(tmp_path, song) == {"vocals": VOICE * part, "accompaniment": BACKING * part}
    taken = system(tmp_path).taken(FakeTrack("Test 00"))
    assert taken == {
        "vocals": voice.replace("{0}", "SONG").format("SONG"),
        "accompaniment": backing.replace("{0}", "SONG").format("SONG"),
    }


def test_without_an_accompaniment_it_is_the_rest_and_said(tmp_path):
    write(tmp_path, {"A_vocals.wav": VOICE})
    assert levels(tmp_path, "A") == {"vocals": VOICE, "accompaniment": 1 - VOICE}
    assert system(tmp_path).taken(FakeTrack("A")) == {"vocals": "SONG_vocals.wav", "accompaniment": REST}


def test_parts_are_summed_all_of_them(tmp_path):
    """Six parts: what the guitar and the piano have is not in `other`."""
    parts = ("drums", "bass", "other", "guitar", "piano")
    write(tmp_path, {"A/vocals.wav": VOICE} | {f"A/{part}.wav": 2.0**-n for n, part in enumerate(parts, 3)})
    assert levels(tmp_path, "A")["accompaniment"] == sum(2.0**-n for n in range(3, 8))
    stems = ("vocals", "drums", "bass", "other")
    assert levels(tmp_path, "A", targets=stems)["other"] == 2.0**-5
    assert system(tmp_path, targets=stems).unused([FakeTrack("A")]) == [
        f"{tmp_path}: SONG/guitar.wav of 1 songs: not used",
        f"{tmp_path}: SONG/piano.wav of 1 songs: not used",
    ]


def test_two_parts_are_no_accompaniment(tmp_path):
    write(tmp_path, {"A/vocals.wav": VOICE, "A/drums.wav": 0.1, "A/other.wav": 0.1})
    assert levels(tmp_path, "A")["accompaniment"] == 1 - VOICE


def test_a_wav_is_taken_and_the_rest_is_said(tmp_path):
    write(tmp_path, {"A/vocals.mp3": 0.1, "A/vocals.wav": VOICE, "A/mixture.wav": 1.0, "B/vocals.wav": 0.1})
    found = system(tmp_path)
    assert found.taken(FakeTrack("A"))["vocals"] == "SONG/vocals.wav"
    assert sorted(found.unused([FakeTrack("A")])) == [
        f"{tmp_path}: 1 sound files: not used, of no song or source that is scored",
        f"{tmp_path}: SONG/mixture.wav of 1 songs: not used",
        f"{tmp_path}: SONG/vocals.mp3 of 1 songs: not used",
    ]


def test_two_files_that_are_as_likely_are_refused(tmp_path):
    write(tmp_path, {"A_(Vocals)_one.wav": 0.1, "A_(Vocals)_two.wav": VOICE})
    with pytest.raises(InputError, match=r"found A_\(Vocals\)_one\.wav and A_\(Vocals\)_two\.wav for the vocals of A,"):
        system(tmp_path).files(FakeTrack("A"))
    assert levels(tmp_path, "A", pattern="{song}_({stem})_two.wav")["vocals"] == VOICE


def test_a_song_that_is_not_there_is_not_another_one(tmp_path):
    write(tmp_path, {"A_live_(Vocals).wav": VOICE, "Test 00/vocals.wav": VOICE, "Test 0/accompaniment.wav": 0.1})
    for song, inside in (("A", "no file"), ("Test 0", r"accompaniment\.wav")):
        with pytest.raises(InputError, match=rf"{song}: found {inside}, expected vocals\.wav"):
            system(tmp_path).files(FakeTrack(song))


def test_a_song_that_nobody_knows_is_not_taken_for_one_with_fewer_words(tmp_path):
    """Love Song is no song of the set, or one of another split; the files of the other songs tell that it is not Love.

    Where all have words beside the song, as a separator's or an artist's name, they are taken.
    """
    songs = ["Love", "Rain", "Sun"]
    write(tmp_path / "a", {"Love Song_vocals.wav": OTHER, "Rain_vocals.wav": VOICE, "Sun_vocals.wav": VOICE})
    write(tmp_path / "b", {"Love Song/vocals.wav": 0.1, "Rain/vocals.wav": VOICE})
    write(tmp_path / "c", {"Love Song_umx_vocals.wav": 0.1, "Rain_umx_vocals.wav": VOICE, "Sun_umx_vocals.wav": VOICE})
    named = [("a", "Love Song_vocals.wav"), ("b", "Love Song/vocals.wav"), ("c", "Love Song_umx_vocals.wav")]
    for folder, name in named:
        match = rf"Love: found no file \({name} is not named as the other songs are.*\), expected vocals\.wav"
        with pytest.raises(InputError, match=match):
            system(tmp_path / folder, songs=songs).files(FakeTrack("Love"))
        assert levels(tmp_path / folder, "Rain", songs=songs)["vocals"] == VOICE
        other = EstimateFolder(tmp_path / folder, TARGETS, ["Love"], lambda line: None, others=["Love Song", "Rain"])
        with pytest.raises(InputError, match="Love: found no file, expected"):
            other.files(FakeTrack("Love"))
    write(tmp_path / "d", {"One - Love_vocals.wav": VOICE, "Two - Rain_vocals.wav": 0.1, "01 Sun_vocals_umx.wav": 0.1})
    write(tmp_path / "e", {"Love_umx_vocals.wav": VOICE, "Rain_umx_vocals.wav": 0.1, "Sun/vocals.wav": 0.1})
    write(tmp_path / "f", {"Love_vocals.wav": VOICE, "Love Song_vocals.wav": 0.1})
    for folder in ("d", "e", "f"):
        assert levels(tmp_path / folder, "Love", songs=songs)["vocals"] == VOICE
    assert levels(tmp_path / "a", "Love", songs=songs, pattern="{song} Song_{stem}.wav")["vocals"] == OTHER


def test_songs_that_differ_in_signs_alone_or_have_no_letter(tmp_path):
    songs = ["Love", "Love!", "Love?", "!!!", "…", "🎵", "-", "!"]
    for folder, name in (
        ("a", "{}/vocals.wav"),
        ("b", "{}_vocals.wav"),
        ("c", "1_{}_(Vocals).wav"),
        ("d", "vocals/{}.wav"),
    ):
        for number, song in enumerate(songs):
            write(tmp_path / folder, {name.format(song): (1 + number) / 16})
        for number, song in enumerate(songs):
            assert levels(tmp_path / folder, song, songs=songs)["vocals"] == (1 + number) / 16, (folder, song)
    write(tmp_path / "e", {"Rain!!!_vocals.wav": VOICE, "A - B_vocals.wav": VOICE, "!!!!_vocals.wav": VOICE})
    for song in ("!!!", "-", "!"):
        with pytest.raises(InputError, match="found no file, expected"):
            system(tmp_path / "e", songs=songs).files(FakeTrack(song))


def test_songs_named_like_a_source_or_like_another_song_and_a_source(tmp_path):
    songs = ["Bass", "Vocals", "Love Vocals", "Love"]
    for folder, name in (("a", "{}/vocals.wav"), ("b", "{}_vocals.wav"), ("c", "{}/{}_vocals.wav")):
        for number, song in enumerate(songs):
            write(tmp_path / folder, {name.format(song, song): (1 + number) / 16})
        for number, song in enumerate(songs):
            assert levels(tmp_path / folder, song, songs=songs)["vocals"] == (1 + number) / 16, (folder, song)


def test_the_forms_of_a_name_in_unicode_are_one(tmp_path):
    write(tmp_path, {unicodedata.normalize("NFD", "Ünï (Live)_vocals.wav"): VOICE})
    assert levels(tmp_path, "Ünï (Live)")["vocals"] == VOICE


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("{stem}/take-*-{song}.wav", ("Vocals/take-3-A.wav", "Instrumental/take-3-A.wav")),
        ("out/{song}.{stem}.{ext}", ("out/A.vocals.flac", "out/A.no vocals.flac")),
        ("{song}.wav", ("A.wav", None)),
    ],
)
def test_a_pattern_finds_other_names(tmp_path, pattern, names):
    write(tmp_path, {name: level for name, level in zip(names, (VOICE, BACKING), strict=True) if name})
    write(tmp_path, {"A/other/A - vocals.wav": OTHER})
    backing = BACKING if names[1] else 1 - VOICE
    assert levels(tmp_path, "A", pattern=pattern) == {"vocals": VOICE, "accompaniment": backing}


@pytest.mark.parametrize("pattern", ["{stem}.wav", "{song}{song}_{stem}.wav", "{song}_{part}.wav", "vocals.wav"])
def test_a_pattern_that_is_none_is_refused(tmp_path, pattern):
    with pytest.raises(InputError, match=r"--estimate-name .*: expected \{song\} and"):
        system(tmp_path, pattern=pattern)


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")
def test_the_case_of_a_folder_with_instrumentals():
    folder = CASES / "msst_dir"
    songs = ["Test 00", "Test 01", "Test 02"]
    found = system(folder, songs=songs)
    for song in songs:
        assert found.taken(FakeTrack(song)) == {"vocals": "SONG/vocals.wav", "accompaniment": "SONG/instrumental.wav"}
        assert [path.name for paths in found.files(FakeTrack(song)).values() for path in paths] == [
            "vocals.wav",
            "instrumental.wav",
        ]


def test_vocals_and_mixture_are_enough_to_score_and_an_instrumental_is_scored(tmp_path, capsys):
    """Oracle, by usdr: what is c times the true accompaniment has an SDR of -20 log10(1 - c)."""
    for package in ("cyclopts",):
        pytest.importorskip(package)
    from experiments import evaluate

    random = np.random.default_rng(0)
    voice_NC, backing_NC = (0.1 * random.standard_normal((2 * RATE, 2)).astype(np.float32) for _ in range(2))
    for folder, name, samples_NC in (
        ("songs/test/A", "Vocals.wav", voice_NC),
        ("songs/test/A", "mix.wav", voice_NC + backing_NC),
        ("tool", "1_A_(Vocals).wav", 0.9 * voice_NC),
        ("tool", "1_A_(Instrumental).wav", 0.75 * backing_NC),
        ("odd/take", "A-v.wav", 0.9 * voice_NC),
    ):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / folder / name, samples_NC, RATE, subtype="FLOAT")
    out, songs = tmp_path / "out", ["--data", str(tmp_path / "songs"), "--protocol", "usdr", "--processes", "1"]
    assert evaluate.main([*songs, "--out", str(out), "--estimates", str(tmp_path / "tool")]) == 0
    found = json.loads((out / "results.json").read_text())["systems"]["tool"]["targets"]
    for target, share in (("vocals", 0.9), ("accompaniment", 0.75)):
        np.testing.assert_allclose(found[target]["score_db"]["SDR"], -20 * np.log10(1 - share), atol=1e-3)
    assert "1_SONG_(Instrumental).wav" in (out / "table.md").read_text()
    named = ["--estimates", str(tmp_path / "odd"), "--estimate-name", "*/{song}-v.wav"]
    assert evaluate.main([*songs, "--out", str(out), *named]) == 0
    assert "mixture - vocals" in (out / "table.md").read_text()
    capsys.readouterr()
    stems = ["--estimates", str(tmp_path / "tool"), "--targets", "stems", "--out", str(tmp_path / "stems")]
    assert evaluate.main([*songs, *stems]) == 2
    assert "A: found vocals, expected drums, bass, other (--targets stems)" in capsys.readouterr().err

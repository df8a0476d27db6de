"""Names and endings of a song's files, and what is passed over. Oracles: noise on the grid of 16 bits, exact sums."""

import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_pipelines.songs.found import fault_of
from data_pipelines.songs.layouts import find_songs, find_stem_files, find_stem_folders
from data_pipelines.songs.names import ENDINGS, MUSDB18_VALIDATION, composed, stem_name
from experiments.data.songs import load_songs
from madsep_jax.audio import read_audio, write_audio
from madsep_jax.errors import InputError

CASES = Path(__file__).parents[2] / "shared" / "cases" / "folders"
FOUR = ("vocals", "drums", "bass", "other")
RATE, N = 8000, 900


def song(folder, *names, samples=N, seed=1):
    """A song of these files."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for name in names:
        soundfile.write(folder / f"{name}.wav", random.integers(-7000, 7000, (samples, 2)).astype(np.int16), RATE)
    return folder


def sum_of(folder, *names):
    return np.sum([read_audio(folder / f"{name}.wav").samples_NC for name in names], axis=0)


def only(folder, find=find_songs):
    found = find(folder)
    assert not found.bad
    (track,) = found.tracks
    return track, found.lines()


def test_the_table_knows_any_case_and_spelling():
    names = {
        "vocals": "Vocals VOCALS vocal Vox voice",
        "mixture": "Mixture mix MIX linear_mixture Linear-Mix mixdown",
        "accompaniment": "Instrumental no_vocals No-Vocals accompaniment background",
        "drums": "Drums DRUMS",
    }
    for expected, found in names.items():
        assert {stem_name(name) for name in found.split()} == {expected}
    assert stem_name("No Vocals") == "accompaniment"
    assert stem_name("Guitar 1") == "guitar 1"
    assert {".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".aac", ".wma", ".mka", ".wv"} <= set(ENDINGS)
    assert len(MUSDB18_VALIDATION) == 14


@pytest.mark.parametrize("name", ["drums.WAV", "drums.Flac", "Drums.wav", "guitar.flac", "guitar.aiff", "Guitar.W64"])
def test_a_stem_of_any_case_and_format_is_in_the_mixture(tmp_path, name):
    folder = song(tmp_path / "train" / "A", "vocals", "drums")
    samples_NC = read_audio(folder / "drums.wav").samples_NC
    expected_NC = sum_of(folder, "vocals", "drums")
    (folder / "drums.wav").unlink()
    kind = Path(name).suffix[1:].upper()
    write_audio(folder / name, samples_NC, RATE, format="AIFF" if kind == "AIFF" else kind, subtype="PCM_16")
    track, _ = only(tmp_path)
    np.testing.assert_array_equal(track.read().mixture_NC, expected_NC)


@pytest.mark.parametrize("name", ["mix", "Mixture", "linear_mixture", "MIX", "A", "a (Mix)", "A_mixture"])
def test_a_mixture_by_any_name_is_no_stem(tmp_path, name):
    folder = song(tmp_path / "train" / "A", *FOUR)
    expected_NC = sum_of(folder, *FOUR) / 2
    write_audio(folder / f"{name}.wav", expected_NC, RATE, subtype="FLOAT")
    track, lines = only(tmp_path)
    assert (track.stems, lines) == (FOUR, [])
    np.testing.assert_array_equal(track.read().mixture_NC, expected_NC)


def test_files_named_like_their_song_are_what_else_they_name(tmp_path):
    song(tmp_path / "train" / "Über uns", "Über uns", "Über uns (Vocals)", "über_uns_drums", "über uns guitar", "mix")
    track, lines = only(tmp_path)
    assert track.stems == ("vocals", "drums", "über uns guitar")
    assert (track.files["mixture"].stem, lines[0]) == ("mix", "Über uns/Über uns.wav: not used, mix.wav is taken")


def test_a_song_named_like_a_part_has_that_part(tmp_path):
    song(tmp_path / "train" / "Bass", "vocals", "bass")
    assert only(tmp_path)[0].stems == ("vocals", "bass")


@pytest.mark.parametrize("name", ["accompaniment", "Instrumental", "no_vocals", "background"])
def test_an_accompaniment_beside_its_parts_counts_once(tmp_path, name):
    folder = song(tmp_path / "train" / "A", *FOUR, name)
    expected_NC = sum_of(folder, *FOUR)
    track, lines = only(tmp_path)
    assert track.stems == FOUR
    np.testing.assert_array_equal(track.read().mixture_NC, expected_NC)
    assert lines == [f"A/{name}.wav: not used, its parts drums, bass and other are there"]


def test_an_accompaniment_beside_some_of_its_parts_is_taken(tmp_path):
    folder = song(tmp_path / "train" / "A", "vocals", "drums", "guitar", "instrumental")
    expected_NC = sum_of(folder, "vocals", "instrumental")
    track, lines = only(tmp_path)
    assert track.stems == ("vocals", "accompaniment")
    np.testing.assert_array_equal(track.read().mixture_NC, expected_NC)
    assert lines == [f"A/{name}.wav: not used, a part of instrumental.wav" for name in ("drums", "guitar")]


@pytest.mark.parametrize("beside", ["mixture", "mix", "accompaniment", "no_vocals", "other", "guitar"])
def test_vocals_and_one_more_are_enough(tmp_path, beside):
    song(tmp_path / "Train" / "A", "vocals", beside)
    track, lines = only(tmp_path)
    assert lines == (["A: no drums and no bass beside the other parts"] if beside == "other" else [])
    audio = track.read()
    mixture = [beside] if beside in ("mixture", "mix") else ["vocals", beside]
    np.testing.assert_array_equal(audio.mixture_NC, sum_of(tmp_path / "Train" / "A", *mixture))
    assert audio.is_sum == (len(mixture) == 2)


def test_what_is_not_used_is_listed_with_the_reason(tmp_path):
    folder = song(tmp_path / "train" / "A", *FOUR, "mixture", "mix")
    shutil.copy(folder / "drums.wav", folder / "Drums.flac")
    shutil.copytree(folder, folder / "takes")
    (folder / "readme.txt").touch()
    (folder / "accompaniment.mid").touch()
    shutil.copy(folder / "drums.wav", tmp_path / "train" / "loose.wav")
    song(tmp_path / "extra" / "B", *FOUR)
    song(tmp_path / "train" / ".38 Special", *FOUR)
    _, lines = only(tmp_path)
    assert sorted(lines) == sorted(
        [
            "A/Drums.flac: not used, drums.wav is taken",
            "A/mix.wav: not used, mixture.wav is taken",
            "A/takes: not used, a folder within a song's",
            "A/accompaniment.mid: not used, no sound by its ending",
            "train/loose.wav: not used, beside the folders of songs",
            "train/.38 Special: not used, hidden, by the dot in front",
            f"{tmp_path.name}/extra: not used, no split (train, test, valid)",
        ]
    )


def test_files_of_one_kind_are_one_line(tmp_path):
    for name in "ABCDE":
        song(tmp_path / "train" / name, *FOUR, "accompaniment")
    (line,) = find_songs(tmp_path).lines()
    assert line.startswith("accompaniment.wav of 5 songs (A, B, C and 2 more): not used, its parts ")


def test_folders_of_systems_are_passed_over(tmp_path):
    song(tmp_path / "train" / "A", *FOUR)
    for name in ("@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information", "__MACOSX", "#recycle"):
        for place in (tmp_path, tmp_path / "train", tmp_path / "train" / "A"):
            (place / name / "A").mkdir(parents=True)
            (place / name / "A" / "vocals.wav").touch()
    for name in (".DS_Store", "._A", "._vocals.wav", "Thumbs.db"):
        (tmp_path / "train" / name).touch()
        (tmp_path / "train" / "A" / name).touch()
    for find in (find_songs, find_stem_folders):
        assert only(tmp_path, find)[1] == []


def test_the_forms_of_a_name_in_unicode_are_one(tmp_path):
    name = "Señorita - Ünï"
    forms = [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
    song(tmp_path / "Mixtures" / "Dev" / forms[0], "mixture")
    song(tmp_path / "Sources" / "Dev" / forms[1], *FOUR)
    track, _ = only(tmp_path)
    assert track.name == composed(name) == forms[0] != forms[1]
    song(tmp_path / "Sources" / "Dev" / forms[0], *FOUR)
    twice = tmp_path / "twice"
    for form in forms:
        song(twice / "train" / form, *FOUR)
    (bad,) = find_songs(tmp_path).bad + find_songs(twice).bad[1:]
    assert bad.line.endswith("found twice in train, expected one song of a name")
    (bad,) = find_songs(twice).bad
    assert bad.line.endswith("found twice in train, expected one song of a name")


def test_stems_that_differ_by_a_tenth_of_a_second_are_cut_and_said(tmp_path):
    folder = song(tmp_path / "train" / "A", "vocals", "mixture")
    longer_NC = np.concatenate([read_audio(folder / "mixture.wav").samples_NC, np.zeros((RATE // 10, 2), np.float32)])
    write_audio(folder / "mixture.wav", longer_NC, RATE)
    track, (line,) = only(tmp_path)
    assert line == f"{folder}/mixture.wav: 800 samples longer than vocals.wav, all are cut to that"
    assert track.duration_s == N / RATE
    audio = track.read()
    np.testing.assert_array_equal(audio.mixture_NC, longer_NC[:N])
    assert audio.voice_NC.shape == (N, 2)
    write_audio(folder / "mixture.wav", np.concatenate([longer_NC, longer_NC[:1]]), RATE)
    (bad,) = find_songs(tmp_path).bad
    assert bad.line == f"{folder}/vocals.wav: 900 samples, expected 1701 samples like its mixture.wav"


def test_parts_are_not_read_unless_asked_for(tmp_path, monkeypatch):
    """Scores of the voice, and spectrograms, need the mixture and the voice alone."""
    song(tmp_path / "train" / "A", *FOUR, "mixture")
    track, _ = only(tmp_path)
    read = []

    def read_and_note(path, **options):
        read.append(path.stem)
        return read_audio(path, **options)

    monkeypatch.setattr("data_pipelines.songs.song_files.read_audio", read_and_note)
    audio = track.read()
    assert (read, tuple(audio.stems_NC)) == (["mixture", "vocals"], FOUR)
    assert audio.stems_NC["bass"] is audio.stems_NC["bass"]
    assert read[2:] == ["bass"]


def test_upper_case_splits_a_validation_split_and_links(tmp_path):
    song(tmp_path / "elsewhere" / "A", *FOUR)
    for split in ("TRAIN", "Test", "Valid"):
        (tmp_path / "set" / split).mkdir(parents=True)
        (tmp_path / "set" / split / f"a {split}").symlink_to(tmp_path / "elsewhere" / "A")
    assert [track.split for track in find_songs(tmp_path / "set").tracks] == ["train", "test", "valid"]
    (tmp_path / "set" / "Test" / "gone").symlink_to("nowhere")
    (bad,) = find_songs(tmp_path / "set").bad
    assert (bad.split, bad.name) == ("test", "gone")
    assert bad.line.endswith("Test/gone: is a broken link, expected a track's folder")


def test_a_folder_that_is_no_song_is_said(tmp_path):
    """Empty, of songs one level deeper, a song without a voice or with nothing else, a folder named as a file."""
    song(tmp_path / "train" / "Artist" / "Song", *FOUR)
    (tmp_path / "train" / "empty").mkdir()
    song(tmp_path / "train" / "mute", "drums", "bass")
    song(tmp_path / "train" / "alone", "vocals")
    song(tmp_path / "train" / "odd", "vocals")
    (tmp_path / "train" / "odd" / "drums.wav").mkdir()
    found = {one.name: one.line for one in find_songs(tmp_path).bad}
    assert found["Artist"].endswith("found Song, expected also vocals.wav (flac, mp3 or any other sound file)")
    assert "found nothing, expected also vocals.wav" in found["empty"]
    assert "found bass.wav, drums.wav, expected also vocals.wav" in found["mute"]
    assert "found vocals.wav, expected also a mixture, an accompaniment or other stems" in found["alone"]
    assert "odd/drums.wav: is a folder, expected an audio file" in found["odd"]
    with pytest.raises(InputError, match=r"a song's folder lies in one of these, as in train/mute$"):
        find_songs(tmp_path / "train" / "mute")


def test_stem_files_and_folders_in_one_split(tmp_path):
    """A song that is there in both forms is read from its folder; neither form hides the songs of the other."""
    pytest.importorskip("av")
    pytest.importorskip("tensorflow_datasets")
    from test_builders import write_stem_file

    song(tmp_path / "train" / "A", *FOUR)
    for name in ("A", "B"):
        write_stem_file(tmp_path / "train" / f"{name}.STEM.mp4", seed=1)
    for find in (find_songs, find_stem_files, find_stem_folders):
        found = find(tmp_path)
        assert [track.name for track in found.tracks] == ["A", "B"]
        assert found.lines()[0] == "train/A.STEM.mp4: not used, its folder is taken"
        assert found.lines()[1:] == ["A: no mixture, unlike the other songs: the sum of the stems is taken"]


def test_a_song_in_train_and_test_is_refused_by_its_name_or_content(tmp_path):
    song(tmp_path / "train" / "A", *FOUR, seed=1)
    song(tmp_path / "train" / "B", *FOUR, seed=2)
    song(tmp_path / "train" / "C", *FOUR, seed=3)
    song(tmp_path / "test" / "A", *FOUR, seed=4)
    shutil.copytree(tmp_path / "train" / "B", tmp_path / "test" / "renamed")
    with pytest.raises(InputError) as error:
        load_songs(str(tmp_path), RATE)
    assert str(error.value).splitlines()[1:] == [
        "  A: is in train and in test, expected in one of them",
        "  B: is in train and in test, by the name renamed, expected in one of them",
    ]
    songs = load_songs(str(tmp_path), RATE, skip_bad=True)
    assert [track.name for track in songs.train] == ["C"]
    assert "2 songs left out as bad: A, B" in songs.description


def test_the_validation_split_is_the_folder_or_musdb18s_list(tmp_path):
    listed = sorted(MUSDB18_VALIDATION)[3]
    for number, name in enumerate(("A", listed)):
        song(tmp_path / "train" / name, *FOUR, seed=number)
    song(tmp_path / "test" / "T", *FOUR, seed=5)
    songs = load_songs(str(tmp_path), RATE, validation_split=True)
    assert ([track.name for track in songs.train], [track.name for track in songs.validation]) == (["A"], [listed])
    song(tmp_path / "valid" / "V", *FOUR, seed=6)
    songs = load_songs(str(tmp_path), RATE, validation_split=True)
    assert ([track.name for track in songs.train], [track.name for track in songs.validation]) == (["A", listed], ["V"])
    shutil.rmtree(tmp_path / "valid")
    shutil.rmtree(tmp_path / "train" / listed)
    with pytest.raises(InputError, match=r"--validation-split: .* has no songs in valid, nor any of MUSDB18's list"):
        load_songs(str(tmp_path), RATE, validation_split=True)


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")
@pytest.mark.parametrize("name", ["sf_WAV", "sf_both", "sf_junkdir", "sf_mixname"])
def test_the_cases(name):
    """In each the mixture is the sum of the four stems: `mix.wav`, too, was written as that."""
    for find in (find_songs, find_stem_folders):
        found = find(CASES / name)
        assert not found.bad
        assert [track.stems for track in found.tracks] == [FOUR] * 3
        for track in found.tracks:
            audio = track.read()
            total_NC = np.sum(list(audio.stems_NC.values()), axis=0)
            assert np.abs(total_NC - audio.mixture_NC).max() <= 4 / 2**15


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")
def test_the_case_of_vocals_and_mixture():
    (track,) = find_songs(CASES / "two").tracks
    assert (track.split, track.stems) == ("test", ("vocals", "accompaniment"))


def test_a_song_is_read_through_once(tmp_path, monkeypatch):
    """What was found whole is kept in the user's cache; what is kept of it in part is not believed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    song(tmp_path / "songs" / "train" / "A", *FOUR)
    track, _ = only(tmp_path / "songs")
    first = track.fingerprint()
    (kept,) = (tmp_path / "cache").rglob("contents/*")

    def refuse(path, **_):
        raise AssertionError(path)

    monkeypatch.setattr("data_pipelines.songs.contents.open_audio", refuse)
    monkeypatch.setattr("data_pipelines.songs.contents._found", {})
    assert track.fingerprint() == first
    monkeypatch.setattr("data_pipelines.songs.contents._found", {})
    kept.write_text(kept.read_text()[:9])
    with pytest.raises(AssertionError):
        track.fingerprint()


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_a_damaged_file_is_found_before_the_work(tmp_path, ending):
    folder = song(tmp_path / "train" / "A", "vocals", samples=4 * RATE)
    write_audio(folder / f"mixture.{ending}", read_audio(folder / "vocals.wav").samples_NC, RATE)
    data = (folder / f"mixture.{ending}").read_bytes()
    (folder / f"mixture.{ending}").write_bytes(data[: len(data) // 2])
    found = find_songs(tmp_path)
    (bad,) = found.bad or found.checked(lambda track: fault_of(track.fingerprint)).bad
    assert f"mixture.{ending}" in bad.line

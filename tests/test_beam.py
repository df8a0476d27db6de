"""The Beam pipeline. Oracle: the same set prepared directly, to the byte."""

import pytest
from tiny_sets import SPECTROGRAM, WAVEFORM, files_in, prepare_songs, write_songs

pytest.importorskip("tensorflow_datasets")
pytest.importorskip("apache_beam")

from data_pipelines.builders import BUILDERS
from data_pipelines.builders.preparation import sketch
from madsep_jax import InputError


@pytest.mark.parametrize("settings", [SPECTROGRAM, WAVEFORM], ids=lambda settings: settings.features)
@pytest.mark.filterwarnings("ignore")  # Beam's own
def test_beam_makes_the_same_set(tmp_path, settings):
    from data_pipelines.prepared.runners import run_in_beam

    songs = write_songs(tmp_path / "songs")
    direct = prepare_songs(songs, tmp_path / "direct", settings)
    preparation = sketch(BUILDERS["musdb18hq"].of(settings, tmp_path / "beam"), songs)
    preparation.run(run_in_beam(["--runner=DirectRunner"]))
    assert files_in(preparation.folder) == files_in(direct)


@pytest.mark.filterwarnings("ignore")
def test_a_bad_song_is_named_and_the_others_are_finished(tmp_path):
    from data_pipelines.prepared.runners import run_in_beam

    songs = write_songs(tmp_path / "songs")
    bad = songs / "train" / "train 1" / "drums.wav"
    found = bad.read_bytes()
    preparation = sketch(BUILDERS["musdb18hq"].of(SPECTROGRAM, tmp_path / "beam"), songs)
    bad.write_bytes(found[:-600])
    with pytest.raises(InputError, match=r"drums\.wav: "):
        preparation.run(run_in_beam(["--runner=DirectRunner"]))
    assert len(list(tmp_path.rglob("*.array_record-*"))) == 3
    bad.write_bytes(found)
    preparation.run(run_in_beam(["--runner=DirectRunner"]))
    assert files_in(preparation.folder) == files_in(prepare_songs(songs, tmp_path / "direct"))

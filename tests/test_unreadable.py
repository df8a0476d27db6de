"""Folders and files that cannot be read or written are one line each, which names them."""

import contextlib
import errno
import os
import tempfile
from pathlib import Path

import pytest

for package in ("cyclopts", "tensorboardX", "tensorflow", "soundfile", "matplotlib"):
    pytest.importorskip(package)

from cyclopts import App
from tiny import GRU

from experiments.cli.command import run
from experiments.rows.folder import ExperimentFolder
from experiments.training.log import TrainLog, read_log
from madsep_jax.checkpoint import load_model, restore_state, save_checkpoint, save_model
from madsep_jax.config.presets import preset_config
from madsep_jax.errors import InputError
from madsep_jax.host.files import write_json, written_aside
from madsep_jax.train.step import init_state


@contextlib.contextmanager
def as_nobody():
    """Without the rights of the superuser, who may read everything."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def closed():
    """A folder into which nobody may look but the superuser."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0)
        yield Path(folder)
        os.chmod(folder, 0o700)


def refused(call):
    with as_nobody(), pytest.raises(InputError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_that_may_not_be_looked_into(closed):
    state = init_state(GRU)
    for call in (
        lambda: load_model(closed / "row"),
        lambda: load_model(str(closed / "row")),
    ):
        assert refused(call) == f"{closed}/row/config.json: cannot be read: Permission denied"
    line = refused(lambda: save_model(closed / "row", GRU, state.variables))
    assert line == f"{closed}/row: cannot be read (Permission denied), expected a new or an empty one"
    line = refused(lambda: save_checkpoint(closed / "row", GRU, state))
    assert line == f"{closed}/row: cannot be written: Permission denied"
    for out in (closed, closed / "out"):
        line = refused(lambda out=out: ExperimentFolder.find(out, preset_config("quick"), "songs"))
        assert line == f"--out {out}: cannot be read: Permission denied"


@pytest.mark.parametrize("inside", ["", "0", "config.json"])
def test_a_checkpoint_that_may_not_be_read(inside):
    """All of it, its one step, or its configuration."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        save_checkpoint(Path(folder) / "row", GRU, init_state(GRU))
        place = Path(folder) / "row" / inside
        mode = place.stat().st_mode
        load_model(Path(folder) / "row")  # which compiles what it needs
        os.chmod(place, 0)
        line = refused(lambda: load_model(Path(folder) / "row"))
        os.chmod(place, mode)
        assert line.startswith(f"{folder}/row")
        assert "Permission denied" in line


def test_names_that_no_file_system_takes():
    for name in ("x" * 300, "a/" * 3000):
        with pytest.raises(InputError, match="cannot be read: File name too long"):
            load_model(name)
    with pytest.raises(InputError, match=r"^no-such-folder: not a checkpoint, expected a folder with config\.json"):
        load_model("no-such-folder")


def test_a_folder_as_text_is_as_good(tmp_path):
    state = init_state(GRU)
    save_checkpoint(str(tmp_path / "row" / "checkpoint"), GRU, state)
    for place in (tmp_path / "row" / "checkpoint", tmp_path / "row"):
        assert load_model(str(place))[0] == load_model(place)[0] == GRU
    assert restore_state(str(tmp_path / "row" / "checkpoint"), state).step == 0


def command(work):
    app = App(name="command")
    app.default(work)
    return run(app, [])


def test_the_system_s_errors_end_a_command_in_one_line(tmp_path, capsys):
    def fill():
        with written_aside(tmp_path / "table.md") as aside:
            aside.write_text("half of it")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert command(fill) == 2
    line = f"command: {tmp_path}/table.md: No space left on device\n"
    assert capsys.readouterr().err == line
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    assert command(lambda: write_json(tmp_path / "file" / "a.json", {})) == 2
    assert capsys.readouterr().err == f"command: {tmp_path}/file: File exists\n"


def test_an_error_of_the_code_keeps_its_traceback(tmp_path):
    with pytest.raises(FileNotFoundError):
        command(lambda: (tmp_path / "missing").read_text())


def test_a_log_on_a_full_disk_names_its_folder(tmp_path, capsys):
    """Linux has a device that is always full."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    (tmp_path / "train.jsonl").symlink_to("/dev/full")

    def log():
        with TrainLog(tmp_path, 0) as training:
            training.write(1, {"loss": 1.0})

    assert command(log) == 2
    assert capsys.readouterr().err == f"command: {tmp_path}: No space left on device\n"


def test_what_is_no_number_is_null_in_a_log(tmp_path):
    with TrainLog(tmp_path, 0) as training:
        training.write(1, {"loss": float("nan"), "gradient_norm": float("inf")})
        training.write_validation(1, {"SDR": float("nan")})
    assert (tmp_path / "train.jsonl").read_text() == '{"step": 1, "loss": null, "gradient_norm": null}\n'
    assert read_log(tmp_path, "validation") == [{"step": 1, "SDR": None}]

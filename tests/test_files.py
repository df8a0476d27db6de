"""Files come into place whole, from a name that no other thread of any machine has."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sources import SOURCES

from madsep_jax.host.files import aside_of, clear_leftovers, drop_asides, write_text, written_aside


def test_a_name_aside_has_host_and_process_and_is_a_thread_s_own(tmp_path, monkeypatch):
    here = aside_of(tmp_path / "table.md")
    assert here == tmp_path / f".table.md.{socket.gethostname()}.{os.getpid()}.partial"
    monkeypatch.setattr(socket, "gethostname", lambda: "another")
    there = aside_of(tmp_path / "table.md")
    with ThreadPoolExecutor(1) as pool:
        assert len({here, there, pool.submit(aside_of, tmp_path / "table.md").result()}) == 3


@pytest.mark.parametrize("name", ["n" * 255, "ä" * 127, "日" * 85])
def test_any_name_that_the_file_system_takes_can_be_written(tmp_path, name):
    write_text(tmp_path / name, "whole")
    assert (tmp_path / name).read_text() == "whole"


def test_what_fails_leaves_nothing_and_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail():
        with written_aside(path) as aside:
            aside.write_text("ne")
            raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_no_other_file_makes_such_names_itself():
    """But for what a job starts with, which imports the standard library alone."""
    making = {name for name, path in SOURCES.items() if re.search(r'\.partial"|uuid', path.read_text())}
    assert making == {"madsep_jax.host.files", "experiments.jobs.row_command"}


def test_what_killed_processes_have_left_is_deleted(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host, mine, dead = socket.gethostname(), threading.get_native_id(), gone.pid
    day_ago = time.time() - 25 * 60 * 60
    left = [f".a.json.{host}.{dead}.partial", f".song.{host}.{dead}.partial/x.wav", ".old.elsewhere.7.partial"]
    kept = [f".b.json.{host}.{mine}.partial", ".c.json.elsewhere.7.partial", ".hidden", f"a.{host}.{dead}.partial"]
    kept += ["inner/.a.json.elsewhere.7.partial", "a.json"]
    for name in left + kept:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    os.utime(tmp_path / left[2], (day_ago, day_ago))
    clear_leftovers(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)
    clear_leftovers(tmp_path / "absent")


def test_a_process_that_ends_before_its_time_deletes_what_it_has_not_renamed(tmp_path):
    with contextlib.suppress(FileNotFoundError), written_aside(tmp_path / "a") as aside:
        aside.write_text("half")
        folder = aside_of(tmp_path / "song")
        folder.mkdir()
        (folder / "half.wav").write_text("")
        drop_asides()
        assert not list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())

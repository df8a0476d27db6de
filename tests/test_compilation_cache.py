"""What one process compiles, the next one reads; and a folder that others could fill is refused."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from madsep_jax.errors import InputError
from madsep_jax.host.compiler import use_compilation_cache, without_compilation_cache

PROJECT = Path(__file__).parent.parent
COMPILE = """
import json, sys
from pathlib import Path
import jax
import jax.numpy as jnp
from madsep_jax.host.compiler import use_compilation_cache

events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event.rpartition("/")[2]))
folder = use_compilation_cache(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
value = float(jax.jit(lambda x: jnp.sin(x) + 1)(0.0))
print(json.dumps({"folder": str(folder), "value": value, "events": events}))
"""


@pytest.fixture(autouse=True)
def settings_as_before():
    """Leave JAX's settings, which are the process's, as they were."""
    names = ("compilation_cache_dir", "persistent_cache_min_compile_time_secs", "persistent_cache_min_entry_size_bytes")
    before = {f"jax_{name}": getattr(jax.config, f"jax_{name}") for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    with without_compilation_cache():
        pass


def in_a_process(*arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def mode(folder):
    return stat.S_IMODE(folder.stat().st_mode)


def test_the_next_process_reads_even_a_small_program(tmp_path):
    folder = tmp_path / "cache"
    first, second = in_a_process(folder), in_a_process(folder)
    assert first["value"] == second["value"] == 1.0
    assert "cache_misses" in first["events"]
    assert "cache_hits" not in first["events"]
    assert "cache_hits" in second["events"]
    assert "cache_misses" not in second["events"]


def test_the_folder_is_the_users_own(tmp_path):
    found = in_a_process(XDG_CACHE_HOME=str(tmp_path))
    assert found["folder"] == str(tmp_path / "madsep_jax" / "compiled")
    assert mode(tmp_path / "madsep_jax" / "compiled") == 0o700
    assert any((tmp_path / "madsep_jax" / "compiled").iterdir())


def test_a_change_of_folder_counts_within_a_process(tmp_path):
    for name in ("one", "two"):
        folder = use_compilation_cache(tmp_path / name)
        jax.jit(lambda x: x * 3 + 1)(jnp.ones(3))
        jax.clear_caches()
        assert any(folder.iterdir())


def test_nothing_is_kept_or_read_without_it(tmp_path):
    folder = use_compilation_cache(tmp_path / "cache")
    with without_compilation_cache():
        jax.jit(lambda x: x * 5 + 1)(jnp.ones(3))
    assert not list(folder.iterdir())
    jax.jit(lambda x: x * 7 + 1)(jnp.ones(3))
    assert list(folder.iterdir())


@pytest.mark.parametrize("writable", [0o720, 0o702, 0o777])
def test_refuses_a_folder_that_others_can_write_to(tmp_path, writable):
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(writable)
    with pytest.raises(InputError, match=f"cache: found a folder that others can write to .mode {writable:o}."):
        use_compilation_cache(folder)


@pytest.mark.parametrize("readable", [0o700, 0o755])
def test_takes_a_folder_that_others_can_only_read(tmp_path, readable):
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(readable)
    assert use_compilation_cache(folder) == folder
    assert mode(folder) == readable


def test_refuses_a_folder_of_another_user(tmp_path, monkeypatch):
    folder = use_compilation_cache(tmp_path / "cache")
    owner = folder.stat().st_uid
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(InputError, match=f"cache: found a folder of another user .number {owner}."):
        use_compilation_cache(folder)


def test_refuses_a_file(tmp_path):
    file = tmp_path / "cache"
    file.write_text("mine")
    for path in (file, file / "inner"):
        with pytest.raises(InputError, match="cannot be used as a folder of compiled programs"):
            use_compilation_cache(path)
    assert file.read_text() == "mine"

"""Options of XLA's compiler, and its persistent cache: what one process has compiled, the next reads from disk.

An entry of the cache is machine code, and runs as it is when it is read. Whoever can write to the folder can therefore
run code as its reader, so a folder that anyone else can write to is refused.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from madsep_jax.errors import InputError
from madsep_jax.host.files import user_cache

#: cpu: programs of the second level of optimisation are as fast as those of the third, and DWS takes less time to
#: compile; vectors of 512 bits, where the processor has them, make the train step of DWS a tenth faster. Neither does
#: anything for MaD. `python -m experiments.compile_time --parts compiler` measures both. A target that is not listed
#: has not been measured.
CHOSEN: dict[str, dict[str, int]] = {
    "cpu": {"xla_backend_optimization_level": 2, "xla_cpu_prefer_vector_width": 512},
    "gpu": {"xla_gpu_all_reduce_combine_threshold_bytes": 2**31 - 1},
}


def compiler_options(target: str) -> dict[str, int]:
    """Return the options for `jax.jit` that programs for a target are compiled with.

    Options that `XLA_FLAGS` names are left to it, and all are where JAX is told to leave most optimisations out.
    """
    if jax.config.read("jax_disable_most_optimizations"):
        return {}
    flags = [flag.partition("=")[0].lstrip("-") for flag in os.environ.get("XLA_FLAGS", "").split()]
    chosen = CHOSEN.get(target, {})
    return {name: value for name, value in chosen.items() if name not in flags}


def use_compilation_cache(folder: Path | None = None) -> Path:
    """Keep every program that this process compiles from now on, read those that are kept already; return the folder.

    JAX leaves out by default what compiles within a second; here everything is kept, since a separator's start is made
    of many small programs too. Nothing is ever deleted: the folder can be, at any time. By default it is `compiled` in
    the user's cache folder; it is made, for its owner alone, where it is not there.

    Raises:
        InputError: where the folder cannot be made, is of another user, or can be written to by others.
    """
    folder = (user_cache() / "compiled" if folder is None else folder).expanduser().absolute()
    _make_private(folder)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)  # no minimum, whatever the file system
    reset_cache()  # JAX looks at the folder's name only once
    return folder


@contextmanager
def without_compilation_cache() -> Iterator[None]:
    """Compile within the `with` as if no cache were there."""
    before = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    jax.config.update("jax_enable_compilation_cache", False)
    reset_cache()
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
        reset_cache()


def _make_private(folder: Path) -> None:
    """Make the folder where it is not there; raise InputError unless it is its reader's own."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=stat.S_IRWXU, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise InputError(f"{folder}: cannot be used as a folder of compiled programs: {error.strerror}") from None
    wrong = ""
    if found.st_uid != os.getuid():
        wrong = f"of another user (number {found.st_uid}), expected one of your own"
    elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        wrong = f"that others can write to (mode {stat.S_IMODE(found.st_mode):o}), expected mode 700"
    if wrong:
        raise InputError(f"{folder}: found a folder {wrong}: the programs in it run as they are")

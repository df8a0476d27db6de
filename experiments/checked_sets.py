"""Which files have been found whole, so that they need not be read again while they stay as they are."""

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path

from madsep_jax.files import write_text
from madsep_jax.user_cache import user_cache


def is_checked(paths: Sequence[Path]) -> bool:
    """Whether these files were found whole, and have the sizes and times of change that they had then."""
    mark = _mark(paths)
    return mark is not None and mark.is_file()


def mark_checked(paths: Sequence[Path]) -> None:
    """Remember that these files are whole. Where that cannot be kept they are read again the next time."""
    mark = _mark(paths)
    if mark is not None:
        with contextlib.suppress(OSError):
            write_text(mark, "")


def _mark(paths: Sequence[Path]) -> Path | None:
    digest = hashlib.sha256()
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            return None
        digest.update(f"{path.resolve()}\0{found.st_size}\0{found.st_mtime_ns}\0".encode(errors="surrogatepass"))
    return user_cache() / "checked" / digest.hexdigest()[:32]

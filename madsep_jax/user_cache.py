"""Where this project keeps what it can compute again."""

import os
from pathlib import Path


def user_cache() -> Path:
    """Return the user's cache folder for this project: `$XDG_CACHE_HOME/madsep_jax`, or `~/.cache/madsep_jax`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "madsep_jax"

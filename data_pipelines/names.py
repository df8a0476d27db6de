"""File names made from track names."""

import hashlib
import re

_MAX_BYTES = 150
_HASH_DIGITS = 10
_ENDS_LIKE_A_HASH = re.compile(rf"-[0-9a-f]{{{_HASH_DIGITS}}}\Z")


def safe_name(name: str) -> str:
    """Return a file name for a track's name: no separators, no leading dots, not empty, at most 150 bytes.

    A name that is fit already stays as it is. Any other one has its unfit characters replaced and ends in a
    short hash of the whole name, so that two names share a file name only where their hashes collide. (Names
    that end like such a hash count as unfit too, so apply this once.)
    """
    fit = "".join("_" if c in '/\\:*?"<>|' or not c.isprintable() else c for c in name)
    fit = fit.lstrip(". ").rstrip(". ")
    fit = fit.encode()[:_MAX_BYTES].decode(errors="ignore")
    if fit == name and fit and not _ENDS_LIKE_A_HASH.search(fit):
        return fit
    mark = "-" + hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:_HASH_DIGITS]
    return fit.encode()[: _MAX_BYTES - len(mark)].decode(errors="ignore").rstrip(". ") + mark

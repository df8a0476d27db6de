"""Any change of any file is found: a byte flipped anywhere, a file cut at any length, a file removed."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madsep_jax.checkpoint.checks import find_damage, write_checksums

CONTENT = {"weights/a": b"0123456789", "weights/d/b": bytes(1000), "training/c": b"x", "training/empty": b""}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    for name, content in CONTENT.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "_METADATA").write_text("not in a part, and changed afterwards")
    write_checksums(folder)
    (folder / "_METADATA").write_text("!")
    return folder


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "copy")


def test_whole(whole):
    assert find_damage(whole, "weights") is None
    assert find_damage(whole, "training") is None


@given(name=st.sampled_from([name for name, content in CONTENT.items() if content]), data=st.data())
def test_every_flipped_bit_is_found_in_its_part(whole, name, data):
    path, content = whole / name, bytearray(CONTENT[name])
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        path.write_bytes(bytes(content))
        part, other = ("weights", "training") if name.startswith("weights") else ("training", "weights")
        assert find_damage(whole, part) == f"{name} has changed since it was written"
        assert find_damage(whole, other) is None
    finally:
        path.write_bytes(CONTENT[name])


@given(length=st.integers(0, 999))
def test_every_cut_is_found(whole, length):
    path = whole / "weights/d/b"
    try:
        path.write_bytes(bytes(length))
        assert find_damage(whole, "weights") == f"weights/d/b has {length} bytes, expected 1000"
    finally:
        path.write_bytes(bytes(1000))


def test_a_missing_file(copy):
    (copy / "training/empty").unlink()
    assert find_damage(copy, "training") == "training/empty is missing"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"weights/a": 3}', '{"weights/a": ["x", "y"]}', "\xff"])
def test_damaged_checksums(copy, text):
    (copy / "checksums.json").write_bytes(text.encode("latin-1"))
    assert find_damage(copy, "weights") == "checksums.json is damaged"


def test_without_checksums_nothing_is_known(copy):
    """As in checkpoints of before there were any."""
    (copy / "checksums.json").unlink()
    Path(copy / "weights/a").write_text("changed")
    assert find_damage(copy, "weights") is None

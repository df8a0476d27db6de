"""Every name becomes a file name, and different names different ones."""

from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.songs.tracks import safe_name


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.lists(st.text(max_size=60) | st.sampled_from(["", ".", "..", "../../etc", "a/b", "a\0b"]), max_size=4))
def test_safe_names(names):
    for name in names:
        file_name = safe_name(name)
        assert file_name
        assert len(file_name.encode()) <= 150
        assert not set(file_name) & set("/\\\0\n")
        assert not file_name.startswith(".")
    assert len({safe_name(name) for name in names}) == len(set(names))


def test_safe_names_by_example():
    assert safe_name("001 - AM Contra - Heart Peripheral") == "001 - AM Contra - Heart Peripheral"
    assert safe_name("Ünï") == "Ünï"
    assert safe_name("a/b").startswith("a_b-")
    assert safe_name("a/b") != safe_name("a_b") != safe_name("a\\b")
    assert safe_name(safe_name("a/b")) != safe_name("a/b")  # a name that looks like a result is not taken for one
    assert len(safe_name("é" * 100).encode()) in (149, 150)
    assert safe_name("\udcff").startswith("_-")  # a name that is not UTF-8 on disk

"""Published parameters from and to files. Oracles: exact recovery; a file that code in a pickle would have made."""

import os
import pickle
import pickletools
import resource
import signal
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny import reference, under

from madsep_jax import InputError
from madsep_jax.interop import files as interop_files
from madsep_jax.interop import from_torch, join_parts, read_state_dict, to_torch, write_safetensors

PARTS = ("rnn_enc", "rnn_dec", "fnn", "denoiser")
TORCH = ["pt", "pth"]


@pytest.fixture(scope="module")
def mad():
    return under(reference("mad_twinnet"), "param/mad.")


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def parts_of(mad, style):
    """MaD's four parts, with the modules' own names, or with the last or all of the module's name in front."""
    parts = {}
    for part in PARTS:
        whole = "denoiser." if part == "denoiser" else f"masker.{part}."
        front = {"own": "", "last": f"{part}.", "whole": whole}[style]
        parts[part] = {front + name: array for name, array in under(mad, whole).items()}
    return parts


def save_torch(torch, path, state_dict):
    torch.save({name: torch.from_numpy(np.array(array)) for name, array in state_dict.items()}, path)


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("ending", [*TORCH, "safetensors"])
def test_one_file(tmp_path, mad, ending, request):
    path = tmp_path / f"mad.{ending}"
    if ending == "safetensors":
        write_safetensors(path, mad)
    else:
        save_torch(request.getfixturevalue("torch"), path, mad)
    assert_same(read_state_dict(path), mad)
    assert_same(read_state_dict(str(tmp_path)), mad)


@pytest.mark.parametrize("style", ["own", "last", "whole"])
def test_four_parts(tmp_path, mad, style):
    parts = parts_of(mad, style)
    assert_same(join_parts(parts), mad)
    paths = [tmp_path / f"{part}.safetensors" for part in reversed(PARTS)]
    for path in paths:
        write_safetensors(path, parts[path.stem])
    assert_same(read_state_dict(tmp_path), mad)
    assert_same(read_state_dict(*paths), mad)


def test_four_parts_of_torch(tmp_path, mad, torch):
    for part, state_dict in parts_of(mad, "own").items():
        save_torch(torch, tmp_path / f"{part}.pt", state_dict)
    (tmp_path / "optimizer.pt").write_bytes(b"beside them")
    found = read_state_dict(tmp_path)
    assert_same(found, mad)
    assert_same(to_torch(*from_torch(found)), mad)


def test_parts_that_do_not_fit(mad):
    parts = parts_of(mad, "own")
    with pytest.raises(InputError, match=r"missing fnn; left over gnn; expected rnn_enc, rnn_dec, fnn, denoiser"):
        join_parts({**{name: part for name, part in parts.items() if name != "fnn"}, "gnn": {}})
    twice = {**parts["fnn"], "fnn.linear_layer.bias": np.zeros(3)}
    with pytest.raises(InputError, match=r"fnn holds masker\.fnn\.linear_layer\.bias twice"):
        join_parts({**parts, "fnn": twice})


class Canary:
    """Unpickled without care it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mknod, (str(self.path),))


@pytest.mark.parametrize("save", ["torch", "pickle"])
def test_code_in_a_pickle_is_refused(tmp_path, torch, save):
    path, canary = tmp_path / "weights.pt", tmp_path / "canary"
    content = {"weight": torch.zeros(2), "code": Canary(canary)}
    if save == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(InputError, match=r"weights\.pt: found a damaged file, or objects that could run code") as error:
        read_state_dict(path)
    assert "\n" not in str(error.value)
    assert not canary.exists()
    if save == "pickle":  # the canary works: the file says to call what makes it
        assert "REDUCE" in {opcode.name for opcode, _, _ in pickletools.genops(path.read_bytes())}
        call, arguments = Canary(canary).__reduce__()
        call(*arguments)
        assert canary.exists()


@pytest.mark.parametrize("ending", [TORCH[0], "safetensors"])
@pytest.mark.parametrize("damage", ["empty", "text", "cut"])
def test_damaged_files(tmp_path, ending, damage, mad, request):
    path = tmp_path / f"mad.{ending}"
    if ending == "pt":
        save_torch(request.getfixturevalue("torch"), path, mad)
    else:
        write_safetensors(path, mad)
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"not parameters", "cut": whole[: len(whole) // 2]}[damage])
    with pytest.raises(InputError, match=rf"mad\.{ending}: (found a damaged file|cannot be read as)") as error:
        read_state_dict(path)
    assert "\n" not in str(error.value)


def test_what_is_no_state_dict(tmp_path, torch):
    for content, message in [
        (torch.zeros(3), "found Tensor, expected a state dict"),
        ({"a": 1.0}, "found 'a': float, expected names with arrays"),
        ({"model": {"a": torch.zeros(3)}}, "found 'model': dict"),
        ({3: torch.zeros(3)}, "found 3: ndarray"),
        ({}, "found nothing"),
    ]:
        torch.save(content, tmp_path / "a.pt")
        with pytest.raises(InputError, match=message):
            read_state_dict(tmp_path / "a.pt")


def test_bfloat16_comes_as_float32(tmp_path, torch):
    torch.save({"a": torch.tensor([1.5, -2.0], dtype=torch.bfloat16, requires_grad=True)}, tmp_path / "a.pt")
    found = read_state_dict(tmp_path / "a.pt")["a"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [1.5, -2.0])


def test_paths_that_do_not_fit(tmp_path, mad):
    with pytest.raises(InputError, match="no such file or folder"):
        read_state_dict(tmp_path / "none.pt")
    (tmp_path / "weights.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"found the ending '\.bin', expected one of \.pt, \.pth, \.safetensors"):
        read_state_dict(tmp_path / "weights.bin")
    with pytest.raises(InputError, match="found none, expected one file, or MaD's four parts"):
        read_state_dict(tmp_path)
    for name in ("a", "b"):
        write_safetensors(tmp_path / f"{name}.safetensors", mad)
    with pytest.raises(InputError, match=r"found a\.safetensors, b\.safetensors, expected one file"):
        read_state_dict(tmp_path)
    with pytest.raises(InputError, match=r"found a\.safetensors, b\.safetensors, expected one file"):
        read_state_dict(tmp_path / "a.safetensors", tmp_path / "b.safetensors")


@pytest.mark.parametrize(
    ("module", "ending", "extra"), [("torch", "pt", "torch"), ("safetensors.numpy", "safetensors", "interop")]
)
def test_a_missing_package_is_named(tmp_path, monkeypatch, module, ending, extra):
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / f"a.{ending}").write_bytes(b"")
    with pytest.raises(InputError, match=rf"is not installed, expected it: pip install 'madsep-jax\[{extra}\]'"):
        read_state_dict(tmp_path / f"a.{ending}")


def test_an_old_torch_is_refused(tmp_path, monkeypatch, torch):
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    (tmp_path / "a.pt").write_bytes(b"")
    with pytest.raises(InputError, match=r"found torch 2\.5\.1\+cpu, expected 2\.6 or newer"):
        read_state_dict(tmp_path / "a.pt")


def test_written_whole_or_not_at_all(tmp_path, mad, monkeypatch):
    path = tmp_path / "new" / "mad.safetensors"
    write_safetensors(path, mad, metadata={"one": [1, "zwei"], "none": None})
    assert interop_files.read_metadata(path) == {"one": [1, "zwei"], "none": None}
    assert_same(load_file(path), mad)

    def fail(arrays, aside, metadata):
        aside.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", fail)
    with pytest.raises(InputError, match=r"mad\.safetensors: cannot be written: No space left on device"):
        write_safetensors(path, {"a": np.zeros(2)})
    assert_same(load_file(path), mad)
    assert os.listdir(path.parent) == ["mad.safetensors"]


def test_a_full_disk_is_told_in_one_line(tmp_path):
    """A limit of the size of files stands for one."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(InputError, match=r"a\.safetensors: cannot be written: .*File too large"):
            write_safetensors(tmp_path / "a.safetensors", {"a": np.zeros(1000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.listdir(tmp_path) == []


def test_axes_that_are_views_are_written_right(tmp_path):
    """Transposed and sliced arrays, as `to_torch` returns, lie in another order in memory."""
    arrays = {"t": np.arange(6.0).reshape(2, 3).T, "s": np.arange(8)[::2], "scalar": np.zeros((), np.int64)}
    write_safetensors(tmp_path / "a.safetensors", arrays)
    assert_same(load_file(tmp_path / "a.safetensors"), arrays)


def test_foreign_metadata_is_none(tmp_path):
    save_file({"a": np.zeros(2)}, tmp_path / "a.safetensors", metadata={"format": "pt"})
    save_file({"a": np.zeros(2)}, tmp_path / "b.safetensors")
    (tmp_path / "c.safetensors").write_bytes(b"damaged")
    for name in ("a", "b", "c", "none"):
        assert interop_files.read_metadata(tmp_path / f"{name}.safetensors") == {}

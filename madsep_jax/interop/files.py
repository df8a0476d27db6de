"""Published parameters from and to files. No file is trusted: only arrays are read, code in a pickle is refused.

MaD was published as four state dicts, one for each of its modules; they are read together.
"""

import json
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from madsep_jax.errors import InputError, first_line
from madsep_jax.host.files import written_aside

_TORCH_ENDINGS = (".pt", ".pth")
_ENDINGS = (*_TORCH_ENDINGS, ".safetensors")

#: Before it, weights_only=True could be got round (CVE-2025-32434).
_SAFE_TORCH = (2, 6)


def read_state_dict(*paths: Path | str) -> dict[str, np.ndarray]:
    """Read published parameters: name to array.

    From one file (.pt, .pth or .safetensors), a folder that holds one, or MaD's four parts: a folder with rnn_enc,
    rnn_dec, fnn and denoiser, or these four files.

    Raises:
        InputError: where there is no such file, it cannot be read, holds something other than arrays, or the package
            that reads it is not installed.
    """
    files = parameter_files(*paths)
    if len(files) == 1:
        return _read_file(files[0])
    parts = {file.stem: file for file in files}
    if len(parts) < len(files) or set(parts) != set(PARTS):
        raise _wrong_files("files", files)
    return join_parts({name: _read_file(file) for name, file in parts.items()})


def parameter_files(*paths: Path | str) -> list[Path]:
    """Return the files that `read_state_dict` reads: the paths, each folder replaced by the files in it that count.

    Raises:
        InputError: where there is no such file, its ending is unknown, or a folder holds none or too many.
    """
    return [file for path in paths for file in _files_of(Path(path))]


def write_safetensors(
    path: Path, state_dict: Mapping[str, np.ndarray], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write arrays by name, and JSON values by name into the file's header; aside first, then renamed into place.

    Raises:
        InputError: where it cannot be written, or safetensors is not installed.
    """
    safetensors = _safetensors()
    from safetensors import SafetensorError

    texts = {name: json.dumps(value) for name, value in (metadata or {}).items()}
    arrays = {name: np.ascontiguousarray(array) for name, array in state_dict.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside:
            safetensors.save_file(arrays, aside, metadata=texts)
    except (OSError, SafetensorError) as error:  # the latter of a full disk, too
        reason = error.strerror if isinstance(error, OSError) else None
        raise InputError(f"{path}: cannot be written: {reason or first_line(error)}") from error


def read_metadata(path: Path) -> dict[str, Any]:
    """Return what `write_safetensors` has kept in a file's header; nothing for a file of another kind or origin."""
    if path.suffix != ".safetensors" or not path.is_file():
        return {}
    _safetensors()
    from safetensors import safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: json.loads(text) for name, text in (file.metadata() or {}).items()}
    except Exception:  # what is unreadable for good is reported by read_state_dict; foreign metadata is no JSON
        return {}


def _files_of(path: Path) -> list[Path]:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if not path.is_dir():
        if path.suffix not in _ENDINGS:
            raise InputError(f"{path}: found the ending {path.suffix!r}, expected one of {', '.join(_ENDINGS)}")
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix in _ENDINGS and file.is_file())
    parts = [file for file in files if file.stem in PARTS]
    if len(parts) == len(PARTS):
        return parts
    if len(files) != 1:
        raise _wrong_files(path, files)
    return files


def _wrong_files(where: object, files: list[Path]) -> InputError:
    found = ", ".join(file.name for file in files) or "none"
    return InputError(f"{where}: found {found}, expected one file, or MaD's four parts ({', '.join(PARTS)})")


def _read_file(path: Path) -> dict[str, np.ndarray]:
    content = _read_torch(path) if path.suffix in _TORCH_ENDINGS else _read_safetensors(path)
    for name, array in content.items():
        if not (isinstance(name, str) and isinstance(array, np.ndarray) and array.dtype.kind in "fiu"):
            raise InputError(f"{path}: found {name!r}: {type(array).__name__}, expected names with arrays of numbers")
    if not content:
        raise InputError(f"{path}: found nothing, expected names with arrays of numbers")
    return content


def _read_torch(path: Path) -> dict[Any, Any]:
    try:
        import torch
    except ImportError:
        raise InputError(f"{path}: torch is not installed, expected it: pip install 'madsep-jax[torch]'") from None
    version = tuple(int(number) for number in torch.__version__.split(".")[:2])
    if version < _SAFE_TORCH:
        raise InputError(f"{path}: found torch {torch.__version__}, expected 2.6 or newer, which is safe to read with")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols; what cannot be read raises
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"{path}: found a damaged file, or objects that could run code and are not loaded; expected a state dict "
            "of tensors"
        ) from None
    except Exception as error:  # torch documents no list of what damaged files raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: cannot be read as a file of torch: {reason}") from error
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: found {type(content).__name__}, expected a state dict: names with tensors")
    return {name: _to_numpy(value, torch) for name, value in content.items()}


def _to_numpy(value: Any, torch: Any) -> Any:
    """Return a tensor as an array, bfloat16, which NumPy lacks, as float32; anything else as it is."""
    if not isinstance(value, torch.Tensor) or value.is_sparse or value.is_quantized:
        return value
    return (value.float() if value.dtype == torch.bfloat16 else value).detach().numpy()


def _read_safetensors(path: Path) -> dict[str, Any]:
    safetensors = _safetensors()
    try:
        return safetensors.load_file(path)
    except Exception as error:  # as with torch
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: cannot be read as safetensors: {reason}") from error


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise InputError("safetensors is not installed, expected it: pip install 'madsep-jax[interop]'") from None
    return safetensors.numpy


#: Name of each part, as of its file without the ending, and the prefix that its names have in the whole model.
PARTS = {
    "rnn_enc": "masker.rnn_enc.",
    "rnn_dec": "masker.rnn_dec.",
    "fnn": "masker.fnn.",
    "denoiser": "denoiser.",
}


def join_parts(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the four parts of MaD as one state dict, for `from_torch`.

    The keys are those of `PARTS`. A part's names may be the module's own (`gru_enc.weight_ih_l0`) or begin with the
    module's name, whole (`masker.rnn_enc.`) or last (`rnn_enc.`).

    Raises:
        InputError: where a part is missing, unknown, or holds a name twice.
    """
    missing = [f"missing {name}" for name in PARTS if name not in parts]
    unknown = [f"left over {name}" for name in sorted(parts) if name not in PARTS]
    if missing or unknown:
        raise InputError(f"parts of MaD: {'; '.join(missing + unknown)}; expected {', '.join(PARTS)}")
    joined: dict[str, Any] = {}
    for part, prefix in PARTS.items():
        for name, array in parts[part].items():
            whole = prefix + name.removeprefix("masker.").removeprefix(f"{part}.")
            if whole in joined:
                raise InputError(f"parts of MaD: {part} holds {whole} twice")
            joined[whole] = array
    return joined

"""Weights that trainings start from in place of random ones: those of a checkpoint, or of a file of parameters."""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from madsep_jax.checkpoint.checks import check_shapes
from madsep_jax.checkpoint.folder import find_checkpoint, load_model, weights_of
from madsep_jax.config.io import differences
from madsep_jax.config.run import ModelConfig, RunConfig
from madsep_jax.errors import InputError, shown
from madsep_jax.interop import from_torch, read_state_dict
from madsep_jax.interop.exported import read_header
from madsep_jax.interop.files import parameter_files
from madsep_jax.train.batch import TrainState

#: Fields in which models may differ that compute the same with the same weights.
_OF_TRAINING = ("dropout",)


@dataclass(frozen=True)
class GivenWeights:
    """A model whose weights trainings start from; all else of theirs starts anew: optimiser, step, order."""

    path: Path
    description: str
    """Which of those that are there."""
    model: ModelConfig
    variables: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "GivenWeights":
        """Read a checkpoint, an ablation's row, or a file of parameters as `madsep import` takes it.

        Raises:
            InputError: where there is none, or it cannot be read.
        """
        if path.is_dir():
            folder = find_checkpoint(path)
            config, variables = load_model(folder)
            return cls(path, str(weights_of(folder)), config.model, variables)
        header = read_header(*parameter_files(path))
        model, variables = from_torch(read_state_dict(path))
        return cls(path, "parameters of a file", header.config.model if header else model, variables)

    def check(self, config: RunConfig, row: str) -> None:
        """Raise InputError where a row's model is another one than that of the weights."""
        mine, wanted = self.model, config.model
        wrong: dict[str, tuple[Any, Any]] = {}
        if mine.masker.kind != wanted.masker.kind:
            wrong["masker"] = mine.masker.kind, wanted.masker.kind
        else:
            wrong |= {"bins": (mine.bins, wanted.bins)} if mine.bins != wanted.bins else {}
            wrong |= {f"masker.{name}": pair for name, pair in differences(mine.masker, wanted.masker).items()}
        texts = [f"{n} {a!r}, expected {b!r}" for n, (a, b) in wrong.items() if n.split(".")[-1] not in _OF_TRAINING]
        if texts:
            raise InputError(f"--start-from {shown(self.path)}: found {'; '.join(texts)} as of the row {row}")

    def into(self, state: TrainState) -> TrainState:
        """Return the state of a training before its first step with these weights, and the statistics of BatchNorm."""
        variables = dict(self.variables)
        check_shapes(variables, state.variables, f"--start-from {shown(self.path)}: the weights")
        given = jax.tree.map(lambda like, array: jnp.asarray(array, like.dtype), state.variables, variables)
        return dataclasses.replace(state, params=given["params"], batch_stats=given.get("batch_stats", {}))

    def fingerprint(self) -> str:
        """Return a text that changes when any weight does."""
        digest = hashlib.sha256()
        for path, array in jax.tree.leaves_with_path(dict(self.variables)):
            digest.update(jax.tree_util.keystr(path).encode())
            digest.update(np.ascontiguousarray(array, np.float32).tobytes())
        return digest.hexdigest()[:16]

    def about(self) -> dict[str, str]:
        """Return what a result says of them."""
        return {"path": str(self.path), "weights": self.description, "fingerprint": self.fingerprint()}

"""The variables of a model as evaluation takes them."""

from collections.abc import Mapping
from typing import Any

from madsep_jax.config import RunConfig
from madsep_jax.models.twin import without_training_parts
from madsep_jax.ops.choice import runs_fast
from madsep_jax.ops.row_gru import with_kernels_by_rows


def inference_variables(config: RunConfig, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's variables without those that only training needs, laid out for speed on the present backend.

    `build_model(config.model).apply(variables, mag_BSF, train=False)` takes them and gives the same estimates.
    """
    variables = without_training_parts(variables)
    return with_kernels_by_rows(variables) if runs_fast("gru", config.compute.operations) else variables

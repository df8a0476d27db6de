"""Oracle: Table I of the DWS paper and its text. Exact."""

import pytest

from madsep_jax.config.maskers import DwsMaskerConfig, GruMaskerConfig
from madsep_jax.config.run import ModelConfig
from madsep_jax.models.variables import parameter_counts

TABLE_I = {
    64: {5: 4_783_426, 7: 4_795_586, 9: 4_807_746, 11: 4_819_906, 13: 4_832_066, 15: 4_844_226},
    128: {5: 4_922_754, 7: 4_963_458, 9: 5_004_162, 11: 5_044_866, 13: 5_085_570, 15: 5_126_274},
    256: {5: 5_447_170, 7: 5_594_114, 9: 5_741_058, 11: 5_888_002, 13: 6_034_946, 15: 6_181_890},
}
CELLS = [(channels, layers, total) for channels, row in TABLE_I.items() for layers, total in row.items()]


@pytest.mark.parametrize(("channels", "layers", "total"), CELLS)
def test_table_1(channels, layers, total):
    counts = parameter_counts(ModelConfig(masker=DwsMaskerConfig(channels=channels, layers=layers)))
    assert sum(counts.values()) == total


def test_mad():
    assert parameter_counts(ModelConfig(masker=GruMaskerConfig())) == {"masker": 22_996_113, "denoiser": 4_199_425}


def test_dws_masker_alone():
    assert parameter_counts(ModelConfig(masker=DwsMaskerConfig()))["masker"] == 1_394_689


def test_residual_and_input_frames_add_none():
    small = DwsMaskerConfig(channels=64, layers=5, residual=True, input_frames="middle")
    assert sum(parameter_counts(ModelConfig(masker=small)).values()) == TABLE_I[64][5]

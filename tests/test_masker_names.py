"""What a masker is called is known in few places; all others ask `madsep_jax.models.registry`, or the settings.

Oracle: the names of the classes and kinds, from the registry; the sources, which are read and not imported.
"""

import ast
import re

import pytest
from sources import SOURCES, tree

from madsep_jax import ModelConfig, build_model
from madsep_jax.config.maskers import KINDS
from madsep_jax.config.systems import named_systems
from madsep_jax.models import MaskerDenoiser

#: The rooms, and the files, that may name one.
KNOWING = ("madsep_jax", "madsep_jax.config", "madsep_jax.models", "madsep_jax.interop", "experiments.benchmarks.peer")
KNOWING += ("experiments.benchmarks.planned.floor",)  # of a masker that it does not know it says nothing
UNKNOWING = [name for name in SOURCES if name not in KNOWING and name.rpartition(".")[0] not in KNOWING[1:]]


def classes():
    """Of all settings, of the maskers, and of the separators that have their own."""
    modules = [build_model(ModelConfig(masker=masker)) for masker in [*named_systems().values(), KINDS["dws"]()]]
    maskers = [module.masker for module in modules if isinstance(module, MaskerDenoiser)]
    found = {type(each).__name__ for each in (*modules, *maskers)} | {kind.__name__ for kind in KINDS.values()}
    return found - {"MaskerDenoiser"}


NAMES = classes() | {"mask_layer"}


def masker_names(tree):
    """The names of maskers in a source: as names, attributes, imports, and in strings that are no documentation.

    A kind is such a name where a string is nothing else: `"dws"`, not `"dws-5-64"`.
    """
    texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                found |= {name} & NAMES
            case ast.Constant(value=str(text)) if id(node) not in texts:
                found |= {text} & set(KINDS) | NAMES & set(re.findall(r"\w+", text))
    return sorted(found)


def test_a_name_is_seen():
    assert {"DwsMaskerConfig", "GruMaskerConfig", "DwsMasker", "GruMasker", "Mad", "Autoencoder"} <= NAMES
    for source, names in [
        ("from madsep_jax import DwsMaskerConfig as Dws", ["DwsMaskerConfig"]),
        ("isinstance(config.masker, maskers.GruMaskerConfig)", ["GruMaskerConfig"]),
        ("config.masker.kind == 'gru'", ["gru"]),
        ("params['masker']['mask_layer']", ["mask_layer"]),
        ("'a row of dws-5-64'", []),
        ("def f():\n    'Of a DwsMasker.'", []),
    ]:
        assert masker_names(ast.parse(source)) == names


@pytest.mark.parametrize("name", UNKNOWING)
def test_only_the_rooms_of_the_maskers_name_them(name):
    assert masker_names(tree(name)) == []

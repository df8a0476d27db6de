"""What a masker is called is known in few places; all others ask `madsep_jax.models.registry`, or the settings.

Oracle: the names of the classes and kinds, from the registry; the sources, which are read and not imported.
"""

import ast
import re
from pathlib import Path

import pytest

from madsep_jax import ModelConfig, build_model
from madsep_jax.config.maskers import KINDS
from madsep_jax.config.systems import named_systems
from madsep_jax.models import MaskerDenoiser

ROOT = Path(__file__).parent.parent
KNOWING = ("madsep_jax/config/", "madsep_jax/models/", "madsep_jax/interop/", "experiments/benchmarks/peer/")
SOURCES = [
    path
    for package in ("madsep_jax", "data_pipelines", "experiments")
    for path in sorted((ROOT / package).rglob("*.py"))
    if not path.relative_to(ROOT).as_posix().startswith(KNOWING) and path != ROOT / "madsep_jax" / "__init__.py"
]


def classes():
    """Of all settings, of the maskers, and of the separators that have their own."""
    modules = [build_model(ModelConfig(masker=masker)) for masker in [*named_systems().values(), KINDS["dws"]()]]
    maskers = [module.masker for module in modules if isinstance(module, MaskerDenoiser)]
    found = {type(each).__name__ for each in (*modules, *maskers)} | {kind.__name__ for kind in KINDS.values()}
    return found - {"MaskerDenoiser"}


NAMES = classes() | {"mask_layer"}


def masker_names(source):
    """The names of maskers in a source: as names, attributes, imports, and in strings that are no documentation.

    A kind is such a name where a string is nothing else: `"dws"`, not `"dws-5-64"`.
    """
    tree = ast.parse(source)
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
        assert masker_names(source) == names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_the_rooms_of_the_maskers_name_them(path):
    assert masker_names(path.read_text(encoding="utf-8")) == []

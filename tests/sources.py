"""The source files of the three packages, for tests that read them and import nothing of them."""

import ast
import functools
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("madsep_jax", "data_pipelines", "experiments")

#: By the name that each has as a module.
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}


@functools.cache
def tree(name: str) -> ast.Module:
    return ast.parse(SOURCES[name].read_text(encoding="utf-8"))


def lines(name: str) -> int:
    return len(SOURCES[name].read_text(encoding="utf-8").splitlines())


def shown(name: str) -> str:
    return str(SOURCES[name].relative_to(ROOT))


def imported(nodes: Iterable[ast.AST]) -> set[str]:
    """What import statements name: a module, also where `from package import module` does."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= whole & set(SOURCES) | (
                {"." * node.level + (node.module or "")} if whole - set(SOURCES) else set()
            )
    return names


@functools.cache
def imports(name: str) -> set[str]:
    """All that a file imports, within functions too."""
    return imported(ast.walk(tree(name)))


def package_of(name: str) -> str:
    return name.partition(".")[0]

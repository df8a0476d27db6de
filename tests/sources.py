"""The source files of the three packages, for tests that read them and import nothing of them."""

import ast
import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("madsep_jax", "data_pipelines", "experiments")

#: By the name that each has as a module.
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
#: The files at the top of `experiments/`.
COMMANDS = [
    name for name, path in SOURCES.items() if re.fullmatch(r"experiments\.\w+", name) and path.stem != "__init__"
]


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


@functools.cache
def imports_at_once(name: str) -> set[str]:
    """What a file imports when it is imported: all but what its functions do."""
    return imported(run_at_once(tree(name).body))


def run_at_once(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The statements among these, and within them, but for those of functions."""
    for node in nodes:
        yield node
        if isinstance(node, ast.stmt | ast.ExceptHandler) and not isinstance(node, ast.FunctionDef):
            yield from run_at_once(ast.iter_child_nodes(node))


def package_of(name: str) -> str:
    return name.partition(".")[0]

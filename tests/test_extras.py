"""The extras of pyproject.toml bring what the commands import when they start, by the sources alone."""

import re
import sys
import tomllib

import pytest
from sources import COMMANDS, PACKAGES, ROOT, SOURCES, imports_at_once, package_of

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
#: By import name; what other packages bring, by the ones that do.
BROUGHT = {"scipy": "jax", "absl": "tensorflow-datasets", "triton": "tensorflow"}  # imported where it is there


def distributions(requirements):
    """The names of the distributions that requirements ask for, those of this project's extras among them."""
    names = set()
    for requirement in requirements:
        name, extras = re.match(r"([\w-]+)(?:\[([\w,]+)\])?", requirement).groups()
        if name == "madsep-jax":
            names |= {name for extra in extras.split(",") for name in of_extra(extra)}
        else:
            names.add(name)
    return names


def of_extra(extra):
    return distributions(PROJECT["dependencies"] + PROJECT["optional-dependencies"][extra])


def loaded_by(*names):
    """All that these files import outside of functions, and what those do."""
    found, left = set(), list(names)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += imports_at_once(name) if name in SOURCES else []
    return {package_of(name) for name in found} - set(sys.stdlib_module_names) - set(PACKAGES)


def missing(extra, *names):
    there = of_extra(extra)
    packages = {BROUGHT.get(package, package).replace("_", "-") for package in loaded_by(*names)}
    return {package for package in packages if not any(name.startswith(package) for name in there)}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_starts_with_the_extra_of_the_commands(command):
    assert not missing("experiments", command)


def test_preparing_by_beam_needs_the_extra_of_beam_alone():
    files = ("experiments.prepare", "data_pipelines.builders.preparation", "data_pipelines.prepared.runners")
    assert not missing("beam", *files)
    assert "apache-beam" in of_extra("beam")


def test_what_is_missing_is_seen():
    assert missing("audio", "experiments.prepare") == {"cyclopts", "rich"}
    assert "tensorflow-datasets" in missing("experiments", "data_pipelines.builders.sets")

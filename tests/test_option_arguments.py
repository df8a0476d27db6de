"""Options into arguments: the command that gets them has the same options again."""

import dataclasses
import typing
from pathlib import Path

import pytest

pytest.importorskip("soundfile")
pytest.importorskip("cyclopts")

from cyclopts import App

from experiments.cli.options import arguments_of
from experiments.rows.options import AblationOptions, RunOptions

app = App()


@app.default
def command(options: AblationOptions | None = None):
    return options or AblationOptions()


def parsed(arguments):
    return app(arguments, exit_on_error=False, print_error=False, result_action="return_value")


def leaf_fields(options, path=()):
    """Every option there is: the names of the dataclasses on the way to it, and its field."""
    hints = typing.get_type_hints(type(options), include_extras=False)
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaf_fields(value, (*path, field.name))
        else:
            yield (*path, field.name), hints[field.name], value


def other_value(hint, value):
    """A value of the type that is not the default."""
    options = [one for one in typing.get_args(hint) if one is not type(None)] if typing.get_args(hint) else [hint]
    if typing.get_origin(hint) is tuple:
        return (7, 8) if options[0] is int else ("a=1", "-b c")
    first = next((one for one in options if typing.get_origin(one) is typing.Literal), None)
    if first or typing.get_origin(hint) is typing.Literal:
        return next(one for one in (typing.get_args(first) if first else options) if one != value)
    return {bool: not value, int: 3, float: 0.25, str: "-x y", Path: Path("a b/c")}[options[0]]


def changed(options, path, value):
    name, *rest = path
    inner = changed(getattr(options, name), rest, value) if rest else value
    return dataclasses.replace(options, **{name: inner})


LEAVES = list(leaf_fields(AblationOptions()))


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: ".".join(leaf[0]))
def test_every_option_comes_back(leaf):
    path, hint, default = leaf
    if path[0] == "launch" and path[1] not in ("launcher", "job_minutes"):
        base = changed(AblationOptions(), ("launch", "launcher"), "slurm")  # which the others need
    else:
        base = AblationOptions()
    options = changed(base, path, other_value(hint, default))
    assert options != base
    assert parsed(arguments_of(options)) == options


def test_defaults_are_left_out():
    assert arguments_of(AblationOptions()) == []
    assert parsed([]) == AblationOptions()
    assert arguments_of(AblationOptions(run=RunOptions(steps=3), systems=("mad", "dae"))) == [
        "--systems=mad",
        "--systems=dae",
        "--steps=3",
    ]

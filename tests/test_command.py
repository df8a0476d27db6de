"""What every command does with bad input, an interruption, and an output that nobody reads."""

import errno
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest

cyclopts = pytest.importorskip("cyclopts")

from sources import COMMANDS, ROOT

from experiments.cli.command import run
from experiments.cli.options import Many, Preset, Systems, option_class
from madsep_jax.errors import InputError


@cyclopts.Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Options:
    number: int = 1
    names: Annotated[tuple[str, ...], cyclopts.Parameter(consume_multiple=True, negative=())] = ()
    kind: Literal["left", "right"] = "left"
    needed: str


def app_that(action):
    app = cyclopts.App(name="tool")

    @app.default
    def tool(*, options: Options):
        return action(options)

    return app


def raises(error):
    def action(_):
        raise error

    return action


def test_arguments_become_options():
    seen = []
    assert run(app_that(seen.append), ["--needed", "x", "--names", "a", "b", "--number", "3"]) == 0
    assert seen == [Options(number=3, names=("a", "b"), needed="x")]


def test_exit_code_is_what_the_command_returns():
    assert run(app_that(lambda _: 7), ["--needed", "x"]) == 7
    assert run(app_that(lambda _: None), ["--needed", "x"]) == 0
    assert run(app_that(lambda _: "text"), ["--needed", "x"]) == 0


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--nedeed", "x"], ["--nedeed", "--needed"]),
        (["--needed", "x", "--zzzz"], ["--zzzz", "--kind", "--names", "--needed", "--number", "--help"]),
        (["--needed", "x", "-z"], ["-z", "--kind", "--needed"]),
        (["--needed", "x", "--zzzz=4"], ["--zzzz", "--kind"]),
        ([], ["--needed", "requires an argument"]),
        (["--needed"], ["--needed", "requires an argument"]),
        (["--needed", "x", "--number", "many"], ["--number", '"many"', "int"]),
        (["--needed", "x", "--kind", "rigth"], ["--kind", "rigth", "left", "right"]),
        (["--needed", "x", "--needed", "y"], ["--needed", "multiple times"]),
        (["--needed", "x", "y", "z"], ["'y z'", "expected options only"]),
        (["--needed", "x", "left\nover"], ["expected options only"]),
    ],
)
def test_bad_arguments_are_one_line_and_code_2(capsys, arguments, parts):
    assert run(app_that(raises(AssertionError)), arguments) == 2
    out, line = capsys.readouterr()
    assert out == ""
    assert line.startswith("tool: ")
    assert line.index("\n") == len(line) - 1
    for part in parts:
        assert part in line


def test_unknown_command_names_the_commands(capsys):
    app = cyclopts.App(name="tool")
    app.command(lambda: None, name="separate")
    app.command(lambda: None, name="import")
    assert run(app, ["seperate"]) == 2
    line = capsys.readouterr().err
    assert line.startswith('tool: Unknown command "seperate". ')
    assert "separate" in line
    assert line.count("\n") == 1


def test_input_error_is_one_line_and_code_2(capsys):
    error = InputError("song.wav:\n  found   nothing,\nexpected sound")
    assert run(app_that(raises(error)), ["--needed", "x"]) == 2
    assert capsys.readouterr() == ("", "tool: song.wav: found nothing, expected sound\n")


def test_interruption_is_one_line_and_code_130(capsys):
    assert run(app_that(raises(KeyboardInterrupt())), ["--needed", "x"]) == 130
    out, line = capsys.readouterr()
    assert out == ""
    assert line.startswith("tool: interrupted")
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "out/a"), "out/a: Disk quota exceeded"),
        (PermissionError(errno.EACCES, "Permission denied", "songs"), "songs: Permission denied"),
        (OSError(errno.ENAMETOOLONG, "File name too long", b"n\xff"), "'n\\udcff': File name too long"),
        (OSError(errno.EROFS, "Read-only file system", "a\nb"), "'a\\nb': Read-only file system"),
    ],
)
def test_disks_and_folders_that_cannot_be_used_are_one_line_and_code_2(capsys, error, line):
    assert run(app_that(raises(error)), ["--needed", "x"]) == 2
    assert capsys.readouterr() == ("", f"tool: {line}\n")


@pytest.mark.parametrize("error", [ValueError("wrong code"), RuntimeError(), KeyError("x"), BrokenPipeError()])
def test_other_exceptions_keep_their_traceback(error):
    with pytest.raises(type(error)) as caught:
        run(app_that(raises(error)), ["--needed", "x"])
    assert caught.value is error


SCRIPT = """
import sys
from cyclopts import App
from rich.console import Console
from experiments.cli.command import run

app = App(name="tool")

@app.default
def tool(*, lines: int = 1, by_rich: bool = False):
    for _ in range(lines):
        (Console().print if by_rich else print)("a line")

sys.exit(run(app))
"""


@pytest.mark.parametrize(
    ("arguments", "unbuffered"),
    [([], ""), ([], "1"), (["--lines", "10000"], ""), (["--by-rich"], ""), (["--help"], ""), (["--bad"], "")],
)
def test_output_that_nobody_reads_ends_it_quietly(arguments, unbuffered):
    """As in `tool | head`: the reading end of the pipe is closed."""
    reading, writing = os.pipe()
    os.close(reading)
    closed, other = ("stderr", "stdout") if "--bad" in arguments else ("stdout", "stderr")
    try:
        found = subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments],
            cwd=Path(__file__).parent.parent,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            check=False,
            **{closed: writing, other: subprocess.PIPE},
        )
    finally:
        os.close(writing)
    assert getattr(found, other) == b""
    assert found.returncode == 1


SAYS_WHAT_IT_CAN = """
import importlib, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {heavy}:
            raise ImportError(f"{{name}} is imported")

sys.meta_path.insert(0, Block())
for name in {commands}:
    main = importlib.import_module(name).main
    sub_commands = ["separate", "import", "export"] if name == "experiments.madsep" else []
    for asked in [["--help"], ["--version"], *([sub, "--help"] for sub in sub_commands)]:
        assert main(asked) == 0, (name, asked)
    assert main(["--no-such-option"]) == 2, name
"""
HEAVY = ("jax", "jaxlib", "flax", "optax", "orbax", "tensorflow", "tensorflow_datasets", "matplotlib", "scipy", "torch")


def test_help_version_and_wrong_options_need_nothing_that_takes_seconds_to_import():
    code = SAYS_WHAT_IT_CAN.format(heavy=HEAVY, commands=COMMANDS)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: ") == len(COMMANDS) + 3


PLAIN = """
import sys
from cyclopts import App
from rich.console import Console
from experiments.cli.command import run

app = App(name="tool")

@app.default
def tool():
    Console().print("Beyoncé – 4 × 3 … Σ")
    sys.exit(run(App(name="tool"), ["--größe"]))

sys.argv = ["tool"]
sys.exit(run(app))
"""


def test_a_terminal_that_knows_ascii_alone_shows_plainer_characters():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", PLAIN], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "Beyonce - 4 x 3 ... ?\n"
    assert done.stderr.startswith("tool: ")
    assert "--grosse" in done.stderr or "--gro?e" in done.stderr
    assert done.returncode == 2


@pytest.mark.parametrize("platforms", ["cuda", "nonsense"])
def test_a_device_that_is_not_there_is_one_line(tmp_path, platforms):
    environment = {**os.environ, "JAX_PLATFORMS": platforms, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "experiments.training_memory", "--preset", "quick"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith(f"training_memory: JAX_PLATFORMS={platforms}: found no such device")
    assert done.stderr.count("\n") == 1


def test_choices_presets_and_systems_are_taken_in_capitals_or_not():
    seen = []

    @option_class
    class Chosen:
        kind: Literal["left", "RIGHT"] | None = None
        kinds: Annotated[tuple[Literal["a", "b"], ...], Many] = ()
        preset: Preset = "paper"
        systems: Annotated[tuple[str, ...], Many, Systems] = ()

    def tool(*, options: Chosen = Chosen()):  # noqa: B008
        seen.append(options)

    app = cyclopts.App(name="tool")
    app.default(tool)
    arguments = ["--kind", "Right", "--kinds", "A", "b", "--preset", "QUICK", "--systems", "MaD", "all", "DWS-5-64"]
    assert run(app, arguments) == 0
    assert seen == [Chosen(kind="RIGHT", kinds=("a", "b"), preset="quick", systems=("mad", "ALL", "dws-5-64"))]
    assert run(app, ["--kind", "middle"]) == 2

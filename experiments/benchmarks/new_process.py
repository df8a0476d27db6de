"""Functions called in new processes, which answer in JSON.

Run as a module, it takes the names of a module and of a function in it, and arguments in JSON, and prints what the
function returns. By itself it imports next to nothing: what a function imports may be timed. It ends when its input
does, as with the process that has started it.
"""

import importlib
import json
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_PROJECT = Path(__file__).parents[2]
_LIMIT_S = 3600
_BAD_INPUT = 2


#: JAX takes most of a GPU's memory when it starts; where this process has, a new one is to take what is left as needed.
_BESIDE_OTHERS = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def run_new_process(function: Callable[..., Any], **arguments: Any) -> Any:
    """Call a function in a new process beside this one; returns what it does. See `run_together`."""
    return run_together(function, [arguments], [_BESIDE_OTHERS])[0]


def run_together(
    function: Callable[..., Any], arguments: Sequence[Mapping[str, Any]], variables: Sequence[Mapping[str, str]]
) -> list[Any]:
    """Call a function in several new processes at a time.

    Args:
        function: of a module; it takes and returns what JSON has.
        arguments: of each process, by their names.
        variables: of the environment of each process, beside those of this one.

    Returns:
        The answers.

    Raises:
        InputError: where the function does.
        RuntimeError: where a process fails otherwise, with what it said.
    """
    import subprocess

    from data_pipelines.child_process import interrupts_blocked
    from madsep_jax.errors import InputError

    path = os.pathsep.join(filter(None, [str(_PROJECT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", __name__, function.__module__, function.__name__]
    input_of_all, end_of_input = os.pipe()
    running: list[subprocess.Popen[str]] = []
    try:
        with interrupts_blocked():
            running += [
                subprocess.Popen(
                    [*command, json.dumps(own_arguments)],
                    env={**os.environ, "PYTHONPATH": path, **own_variables},
                    stdin=input_of_all,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
                for own_arguments, own_variables in zip(arguments, variables, strict=True)
            ]
        said = [process.communicate(timeout=_LIMIT_S) for process in running]
    finally:
        os.close(input_of_all)
        os.close(end_of_input)
        for process in running:
            process.kill()
    for process, (out, errors) in zip(running, said, strict=True):
        if process.returncode == _BAD_INPUT:
            raise InputError(errors.splitlines()[-1])
        if process.returncode:
            raise RuntimeError(f"{function.__module__} failed in its process:\n{out}{errors}")
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


def _end_with_input() -> None:
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_input, daemon=True).start()
    module, name, given = sys.argv[1:]
    try:
        print(json.dumps(getattr(importlib.import_module(module), name)(**json.loads(given))))
    except ValueError as error:
        if type(error).__name__ != "InputError":  # which would have to be imported
            raise
        print(error, file=sys.stderr)
        sys.exit(_BAD_INPUT)

"""Modules run in new processes, which answer in JSON."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_PROJECT = Path(__file__).parents[2]
_LIMIT_S = 3600


def run_new_process(module: str, *arguments: str) -> Any:
    """Run a module in a new process; returns the last line that it prints, read as JSON. See `run_together`."""
    return run_together(module, [arguments], [{}])[0]


def run_together(module: str, arguments: Sequence[Sequence[str]], variables: Sequence[Mapping[str, str]]) -> list[Any]:
    """Run a module in several new processes at a time.

    Args:
        module: by its name; it prints its answer, in JSON, in one line, the last.
        arguments: of each process.
        variables: of the environment of each process, beside those of this one.

    Returns:
        The answers.

    Raises:
        RuntimeError: where a process fails, with what it said.
    """
    path = os.pathsep.join(filter(None, [str(_PROJECT), os.environ.get("PYTHONPATH")]))
    running = [
        subprocess.Popen(
            [sys.executable, "-m", module, *own_arguments],
            env={**os.environ, "PYTHONPATH": path, **own_variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for own_arguments, own_variables in zip(arguments, variables, strict=True)
    ]
    try:
        said = [process.communicate(timeout=_LIMIT_S) for process in running]
    finally:
        for process in running:
            process.kill()
    for process, (out, errors) in zip(running, said, strict=True):
        if process.returncode:
            raise RuntimeError(f"{module} failed in its process:\n{out}{errors}")
    return [json.loads(out.splitlines()[-1]) for out, _ in said]

"""How every command behaves: options from a typed dataclass, bad input as one line and exit code 2."""

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from madsep_jax.errors import InputError

BAD_INPUT = 2
INTERRUPTED = 130


def run(app: App, argv: Sequence[str] | None = None) -> int:
    """Run a command on its arguments (the process's own when None) and return the exit code."""
    try:
        result = app(argv, exit_on_error=False, print_error=False, result_action="return_value")
    except (CycloptsError, InputError) as error:
        line = " ".join(str(error).split())
        print(f"{app.name[0]}: {line}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"{app.name[0]}: interrupted; start the same command again to continue", file=sys.stderr)
        return INTERRUPTED
    return result if isinstance(result, int) else 0

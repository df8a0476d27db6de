"""The parser of commands: Cyclopts or, for the report of a device alone, what stands in for it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cyclopts import App, CycloptsError, Parameter, Token, UnknownOptionError, UnusedCliTokensError, convert
else:
    try:
        from cyclopts import App, CycloptsError, Parameter, Token, UnknownOptionError, UnusedCliTokensError, convert
    except ModuleNotFoundError:
        from experiments.cli.small_parser import (
            App,
            CycloptsError,
            Parameter,
            Token,
            UnknownOptionError,
            UnusedCliTokensError,
            convert,
        )

__all__ = ["App", "CycloptsError", "Parameter", "Token", "UnknownOptionError", "UnusedCliTokensError", "convert"]

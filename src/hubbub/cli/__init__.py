"""The command line: `hubbub run`, `hubbub serve`, `hubbub connect`."""

from hubbub.cli.commands import main

__all__ = ["main"]

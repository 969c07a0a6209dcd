"""The command line: `hubbub run`, `hubbub serve`, `hubbub connect`."""

from hubbub.cli.start import main

__all__ = ["main"]

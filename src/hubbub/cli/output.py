"""What a command writes: answers on standard output, all else on standard error, and nobody's control characters."""

import sys

from rich.console import Console
from rich.markup import escape

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}
"""What a peer must not get through to the terminal: escape sequences move the cursor, and set its title."""


def printable(text: str) -> str:
    """``text`` with control characters by their numbers."""
    return text.translate(_CONTROLS)


def say(line: str) -> None:
    """An answer: one line on standard output, at once, also into a pipe."""
    sys.stdout.write(printable(line).replace("\n", "\\n") + "\n")
    sys.stdout.flush()


def say_error(text: str, colour: str) -> None:
    """What is no answer: on standard error."""
    console = Console(stderr=True, highlight=False, emoji=False)
    console.print(f"[{colour}]{escape(printable(text))}[/]", soft_wrap=True)

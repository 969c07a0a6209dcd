"""Where the command line starts: with its libraries, or with what to install."""

import sys

_LIBRARIES = ("typer", "rich")


def main() -> None:
    """Runs a command, if typer and rich are installed; else says how to install them, with exit code 2."""
    try:
        from hubbub.cli.commands import main as run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _LIBRARIES:
            raise
        print(
            'hubbub: the command line needs typer and rich, which are not installed: pip install "hubbub[standard]"\n'
            "hubbub: without them, run your app with: uvicorn main:app --ws hubbub.wire:Protocol",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    run()

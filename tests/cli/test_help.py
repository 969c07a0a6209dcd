"""What the commands say about themselves."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.cli.processes import run

from hubbub import Settings
from hubbub.cli.commands import app

RUN_OPTIONS = (
    "--host --port --uds --fd --reload --workers --factory --app-dir --env-file --root-path --ssl-certfile "
    "--ssl-keyfile --ssl-ca-certs --deflate --access-log --log-level --log-config"
)


@pytest.mark.parametrize(
    ("arguments", "sentence", "words"),
    [
        (["--help"], "Real-time for FastAPI", "run serve connect subscribe publish presence history token --version"),
        (["run", "--help"], "Run your FastAPI app on the fast path", f"MODULE:APP {RUN_OPTIONS}"),
        (["serve", "--help"], "Serve the example apps and the playground page", "--host --port"),
        (
            ["connect", "--help"],
            "Talk to a WebSocket from the terminal",
            "--token --json --header --subprotocol --wait",
        ),
    ],
)
def test_help_names_what_there_is(tmp_path: Path, arguments: list[str], sentence: str, words: str) -> None:
    finished = run(*arguments, cwd=tmp_path)
    assert finished.returncode == 0
    assert finished.stderr == ""
    assert sentence in finished.stdout
    for word in words.split():
        assert word in finished.stdout
    for name in re.findall(r"HUBBUB_([A-Z_]+)", finished.stdout):
        assert name.lower() in Settings.model_fields


def every(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands and groups with the words that call them."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from every(below, *path, name)


COMMANDS = dict(every(typer.main.get_command(app)))


@pytest.mark.parametrize(("path", "columns"), [*((path, "80") for path in COMMANDS), (("run",), "")])
def test_help_in_eighty_columns_or_in_a_pipe_cuts_no_name_and_no_sentence(
    tmp_path: Path, path: tuple[str, ...], columns: str
) -> None:
    finished = run(*path, "--help", cwd=tmp_path, env={"COLUMNS": columns})
    assert max(map(len, finished.stdout.splitlines())) <= 80
    shown = " ".join(finished.stdout.split())
    command = COMMANDS[path]
    for parameter in command.params:
        for name in (*parameter.opts, *parameter.secondary_opts) if parameter.param_type_name == "option" else ():
            assert re.search(rf"(^| ){name}( |$)", shown), f"{name} is cut"
        assert parameter.help in shown, "one sentence, from one line to the next"
    for name, below in getattr(command, "commands", {}).items():
        first = re.match(r"[^.]+\.", below.help)
        assert first is not None
        assert f"{name} {first[0]}" in shown, "the summary of a command is its first sentence, whole"


def test_without_a_command_the_help_is_shown(tmp_path: Path) -> None:
    finished = run(cwd=tmp_path)
    assert "Usage:" in finished.stdout + finished.stderr
    assert "connect" in finished.stdout + finished.stderr


@pytest.mark.parametrize("arguments", [["fly"], ["run"], ["run", "main:app", "--port", "99999"], ["connect"]])
def test_a_wrong_use_is_exit_code_two(tmp_path: Path, arguments: list[str]) -> None:
    finished = run(*arguments, cwd=tmp_path)
    assert finished.returncode == 2
    assert "Usage:" in finished.stderr
    assert "Traceback" not in finished.stderr

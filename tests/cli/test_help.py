"""What the commands say about themselves."""

import re
from pathlib import Path

import pytest
from tests.cli.processes import run

from hubbub import Settings

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

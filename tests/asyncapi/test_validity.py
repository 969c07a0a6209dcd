"""Documents are valid: AsyncAPI's own parser has nothing against them, neither by its JSON schema nor by its rules."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from tests.asyncapi import shop
from tests.asyncapi.test_page import hostile

from hubbub import Hub
from hubbub.asyncapi.servers import servers

VALIDATOR = Path(__file__).parent / "validator"
NEWER_VERSION = "asyncapi-latest-version"


def complaints(*documents: dict[str, Any]) -> list[list[str]]:
    """What the parser says to each document."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed, so AsyncAPI's parser cannot run")
    if not (VALIDATOR / "node_modules").is_dir():
        pytest.skip("AsyncAPI's parser is not installed: npm ci --prefix tests/asyncapi/validator")
    finished = subprocess.run(
        [node, "validate.js"],
        cwd=VALIDATOR,
        input=json.dumps([json.dumps(document) for document in documents]),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said = json.loads(finished.stdout)
    return [[line for line in lines if not line.startswith(NEWER_VERSION)] for lines in said]


def served(hub: Hub, app: FastAPI) -> dict[str, Any]:
    return {**hub.asyncapi(app), "servers": servers("hub.example", "/rt", secure=True, token=True)}


def test_documents_are_valid() -> None:
    documents = [served(shop.hub, shop.app), shop.hub.asyncapi(shop.app), Hub().asyncapi(FastAPI()), served(*hostile())]
    assert complaints(*documents) == [[], [], [], []]


def test_what_is_wrong_is_noticed() -> None:
    document = shop.hub.asyncapi(shop.app)
    del document["channels"]["chat_floor_room"]["messages"]["Line"]
    unsaid = {**Hub().asyncapi(FastAPI()), "info": {}}
    lost, empty = complaints(document, unsaid)
    assert any("chat_floor_room" in line for line in lost)
    assert any("info" in line for line in empty)

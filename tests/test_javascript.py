"""The JavaScript SDK comes from the app itself, so a page needs no npm and no other host."""

from pathlib import Path

import pytest
from fastapi import Depends, FastAPI, HTTPException
from fastapi.testclient import TestClient

from hubbub import Hub, javascript
from hubbub.javascript import SDK_MISSING, browser_sdk

SDK = "globalThis.Centrifuge = class {};"


def client() -> TestClient:
    app = FastAPI()
    app.include_router(Hub().router)
    return TestClient(app)


def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *with_sdk: str) -> None:
    monkeypatch.setattr(javascript, "_FOLDERS", (tmp_path / "wheel", tmp_path / "checkout"))
    for name in with_sdk:
        (tmp_path / name).mkdir()
        (tmp_path / name / "centrifuge.js").write_text(SDK)


@pytest.mark.parametrize("place", ["wheel", "checkout"])
def test_an_app_with_the_router_serves_the_sdk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str) -> None:
    folders(monkeypatch, tmp_path, place)
    answer = client().get("/connection/centrifuge.js")
    assert (answer.status_code, answer.text) == (200, SDK)
    assert answer.headers["content-type"].startswith("text/javascript")


def test_the_sdk_of_the_wheel_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folders(monkeypatch, tmp_path, "wheel", "checkout")
    assert browser_sdk() == tmp_path / "wheel" / "centrifuge.js"


def test_an_app_without_the_sdk_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folders(monkeypatch, tmp_path)
    answer = client().get("/connection/centrifuge.js")
    assert (answer.status_code, answer.text) == (404, SDK_MISSING)
    assert "npm ci --prefix web" in answer.text


def test_the_dependencies_of_the_router_hold_for_the_sdk() -> None:
    def refuse() -> None:
        raise HTTPException(401)

    app = FastAPI()
    app.include_router(Hub().router, dependencies=[Depends(refuse)])
    assert TestClient(app).get("/connection/centrifuge.js").status_code == 401


def test_a_checkout_looks_where_npm_installs() -> None:
    assert (javascript._FOLDERS[-1].parents[2] / "package.json").is_file()

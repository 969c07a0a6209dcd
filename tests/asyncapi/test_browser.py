"""The page in a real browser: complete without a script, readable on a phone, light and dark."""

import shutil
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright
from pydantic import ConfigDict, create_model
from tests.asyncapi import shop

from hubbub import Hub

CHROMIUM_ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
CHROMIUM_ARGUMENTS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
ADDRESS = "http://shop.example/asyncapi"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("Chromium is not installed, so no browser can open the page")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


def long_winded() -> FastAPI:
    """An app whose names have no end, and no place to break a line."""
    hub = Hub()
    fields: dict[str, Any] = {"field" * 30: (Literal["value"], "value" * 40)}
    example = ConfigDict(json_schema_extra={"examples": ["example" * 30]})
    model = create_model("Model" * 30, __config__=example, **fields)

    async def say(message: model) -> None: ...  # type: ignore[valid-type]

    say.__doc__ = "word" * 100
    hub.channel("name" * 30).on_publish(say)
    app = FastAPI(title="title" * 30, version="1" * 100)
    app.include_router(hub.router)
    return app


def opened(
    browser: Browser, width: int = 1280, scheme: str = "light", app: FastAPI = shop.app
) -> tuple[Page, list[str]]:
    """The page, with scripts switched off, and what it asked for or complained of. No server: the app answers."""
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=False,
    )
    page, noticed = context.new_page(), []
    client = TestClient(app, "http://shop.example")

    def answer(route: Route) -> None:
        noticed.append(route.request.url)
        response = client.get(route.request.url)
        route.fulfill(status=response.status_code, headers=dict(response.headers), body=response.text)

    page.route("**/*", answer)
    page.on("console", lambda message: noticed.append(message.text))
    page.goto(ADDRESS)
    return page, noticed


@pytest.mark.parametrize("width", [320, 768, 1280])
@pytest.mark.parametrize("app", [shop.app, long_winded()], ids=["shop", "long names"])
def test_nothing_is_wider_than_the_screen(browser: Browser, app: FastAPI, width: int) -> None:
    page, _ = opened(browser, width, app=app)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.context.close()


@pytest.mark.parametrize(("scheme", "color"), [("light", "rgb(245, 244, 239)"), ("dark", "rgb(16, 21, 23)")])
def test_it_is_light_or_dark_as_the_reader_likes(browser: Browser, scheme: str, color: str) -> None:
    page, _ = opened(browser, scheme=scheme)
    expect(page.locator("body")).to_have_css("background-color", color)
    page.context.close()


def test_it_asks_for_nothing_more_and_complains_of_nothing(browser: Browser) -> None:
    page, noticed = opened(browser)
    expect(page.get_by_role("heading", name="Corner shop")).to_be_visible()
    page.get_by_role("link", name="Spoken").first.click()
    expect(page.locator("#schema-Spoken")).to_be_in_viewport()
    assert noticed == [ADDRESS]
    page.context.close()


def test_the_document_is_one_click_away(browser: Browser) -> None:
    page, noticed = opened(browser)
    page.get_by_role("link", name="asyncapi.json").click()
    assert noticed == [ADDRESS, f"{ADDRESS}.json"]
    page.context.close()

"""The page in a real browser: complete without a script, readable on a phone, light and dark."""

import shutil
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright
from tests.asyncapi import shop

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


def opened(browser: Browser, width: int = 1280, scheme: str = "light") -> tuple[Page, list[str]]:
    """The page, with scripts switched off, and what it asked for or complained of. No server: the app answers."""
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=False,
    )
    page, noticed = context.new_page(), []
    client = TestClient(shop.app, "http://shop.example")

    def answer(route: Route) -> None:
        noticed.append(route.request.url)
        response = client.get(route.request.url)
        route.fulfill(status=response.status_code, headers=dict(response.headers), body=response.text)

    page.route("**/*", answer)
    page.on("console", lambda message: noticed.append(message.text))
    page.goto(ADDRESS)
    return page, noticed


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_screen(browser: Browser, width: int) -> None:
    page, _ = opened(browser, width)
    for element in page.locator("section, article, h1, h2, h3, nav li").all():
        box = element.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
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

"""A real browser's EventSource, which comes back by itself: after which ends, and after which no more."""

import shutil
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, sync_playwright
from starlette.responses import HTMLResponse
from tests.transports.conftest import Serve

from hubbub import Hub, Identity

CHROMIUM_ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
CHROMIUM_ARGUMENTS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
PAGE = """<!doctype html><title>events</title><script>
const seen = []
const source = new EventSource("/connection/uni_sse" + location.search)
source.onopen = () => seen.push("open")
source.onmessage = event => seen.push(Object.keys(JSON.parse(event.data))[0])
source.onerror = () => seen.push(source.readyState === 2 ? "stopped" : "comes back")
</script>"""


@pytest.fixture
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("Chromium is not installed, so there is no EventSource")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.mark.parametrize(
    ("allowed", "seen"),
    [
        (False, ["open", "disconnect", "comes back", "stopped"]),
        (True, ["open", "connect", "disconnect", "comes back", "stopped"]),
    ],
    ids=["refused", "disconnected for good"],
)
def test_an_event_source_stops_after_an_end_for_good(
    serve: Serve, browser: Browser, allowed: bool, seen: list[str]
) -> None:
    hub = Hub()
    hub.on_connect(lambda: Identity("anna") if allowed else None)
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.router)
    app.add_api_route("/page", lambda: HTMLResponse(PAGE))

    @app.get("/end")
    async def end() -> None:
        await hub.disconnect("anna")

    page = browser.new_page()
    page.goto(f"{serve(app, 'wire').http}/page")
    if allowed:
        page.wait_for_function("seen.includes('connect')", timeout=10_000)
        page.request.get(f"{page.url}/../end")
    page.wait_for_function("seen.includes('stopped')", timeout=20_000)
    assert page.evaluate("seen") == seen

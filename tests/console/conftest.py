"""`hubbub serve`, a real browser, and pages of the playground that are watched."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from hubbub.javascript import browser_sdk

START_DEADLINE = 20.0
SERVER_PYTHON = os.environ.get("SERVER_PYTHON", sys.executable)
"""The interpreter that runs `hubbub serve`. `scripts/wheel` gives that of an environment with nothing but the wheel."""
CHROMIUM_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# What Chromium writes to the console when a server says no, which some tests make it do.
REFUSAL = re.compile(r"Unexpected response code: 403|responded with a status of 40[13]")
# The contrast of each visible text with what is painted behind it (WCAG 2.2, success criterion 1.4.3).
FAINT_TEXTS = """() => {
    const parts = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = (color) => {
        const [r, g, b] = parts(color).slice(0, 3).map((c) => c / 255)
            .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (one) => {
        for (; one; one = one.parentElement) {
            const color = getComputedStyle(one).backgroundColor;
            if (parts(color)[3] !== 0) return color;
        }
    };
    const faint = [];
    for (const one of document.querySelectorAll('body *')) {
        const text = [...one.childNodes].filter((node) => node.nodeType === 3 && node.data.trim());
        if (!text.length || !one.checkVisibility()) continue;
        const [dark, bright] = [light(getComputedStyle(one).color), light(behind(one))].sort((a, b) => a - b);
        const ratio = (bright + 0.05) / (dark + 0.05);
        if (ratio < 4.5) faint.push(`${one.tagName}.${one.className} ${ratio.toFixed(2)}: ${text[0].data.trim()}`);
    }
    return [getComputedStyle(document.body).backgroundColor, faint];
}"""


@contextlib.contextmanager
def running_server(log_path: Path, port: int = 0) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`hubbub serve` on that port, or a free one, answering from the start of the block to its end."""
    if not port:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}
    command = [SERVER_PYTHON, "-m", "hubbub", "serve", "--port", str(port)]
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
    try:
        deadline = time.monotonic() + START_DEADLINE
        while not answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server did not start; it said:\n{log_path.read_text()}")
            time.sleep(0.05)
        yield url, process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_server(tmp_path_factory.mktemp("serve") / "log") as (url, _):
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("Chromium is not installed, so no browser can open the playground")
    # Each launch gets a new temporary profile from Playwright.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


class Watched:
    """A page and everything it asked for or complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.addresses: list[str] = []
        self.complaints: list[str] = []
        self.expected = REFUSAL
        page.on("request", lambda request: self.addresses.append(request.url))
        page.on("websocket", lambda websocket: self.addresses.append(websocket.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._note)

    def _note(self, message: ConsoleMessage) -> None:
        missing = message.location["url"].endswith("/centrifuge.js") and browser_sdk() is None
        if message.type in ("error", "warning") and not missing:
            self.complaints.append(message.text)

    @property
    def unexpected(self) -> list[str]:
        return [text for text in self.complaints if not self.expected.search(text)]


@pytest.fixture
def open_page(browser: Browser, serve: str) -> Iterator[Callable[..., Watched]]:
    """Opens the playground with a context's options; afterwards no page may have complained."""
    opened: list[Watched] = []

    def open_playground(url: str = serve, **options: object) -> Watched:
        watched = Watched(browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}).new_page())
        opened.append(watched)
        watched.page.goto(url)
        return watched

    yield open_playground
    for watched in opened:
        watched.page.context.close()
    assert [watched.unexpected for watched in opened] == [[] for _ in opened]


@pytest.fixture
def page(open_page: Callable[..., Watched]) -> Page:
    return open_page().page


class Window:
    """One socket's window on the page, used as a visitor would."""

    def __init__(self, page: Page, name: str) -> None:
        self.name = name
        self.root = page.get_by_role("group", name=name, exact=True)
        self.state = self.root.locator(".state-text")
        self.verdict = self.root.locator(".verdict")

    def button(self, text: str) -> Locator:
        return self.root.get_by_role("button", name=text)

    def connect(self) -> "Window":
        self.button(f"Connect {self.name}").click()
        expect(self.state).to_have_text("Connected")
        return self

    def say(self, text: str) -> None:
        self.root.get_by_label("Message").fill(text)
        self.button(f"Send {self.name}").click()

    def frames(self, direction: str) -> list[str]:
        return self.root.locator(f".log li.{direction} .text").all_text_contents()

    def expect_frame(self, direction: str, text: str) -> None:
        entry = self.root.locator(f".log li.{direction} .text").filter(has_text=re.compile(f"^{re.escape(text)}$"))
        expect(entry.last).to_be_visible()

    def expect_closed(self, code: int, name: str) -> None:
        expect(self.verdict.locator(".verdict-title")).to_have_text(f"{code} {name}")
        expect(self.verdict.locator(".remedy")).to_have_text(re.compile(r"^What to do: .+\.$"))

"""What runs the JavaScript SDK: Node, and a page in a real browser. Both run ``driver.mjs``."""

import json
import shutil
import subprocess
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Playwright, async_playwright

from .background import Background
from .clients import CALL_DEADLINE, CallRefused, Host

HERE = Path(__file__).parent
PACKAGES = HERE.parents[1] / "web" / "node_modules"
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


def skip_without_npm_package() -> None:
    if not (PACKAGES / "centrifuge").is_dir():
        pytest.skip("the SDK for JavaScript is not installed: run make test where npm is, or npm ci --prefix web")


def _result(outcome: Mapping[str, Any]) -> Any:
    if "error" in outcome:
        raise CallRefused(outcome["error"]["code"], outcome["error"]["message"])
    return outcome["result"]


class NodeHost(Host):
    """One Node process for all clients; commands and events are lines of JSON."""

    def __init__(self) -> None:
        super().__init__()
        executable = shutil.which("node")
        if executable is None:
            pytest.skip("Node is not installed, so the SDK for JavaScript cannot run in it")
        skip_without_npm_package()
        command = [executable, str(HERE / "node.mjs"), str(PACKAGES)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._asked: dict[int, Future[Any]] = {}
        self._number = 0
        self._reader = threading.Thread(target=self._read, name="reads from Node", daemon=True)
        self._reader.start()

    def ask(self, client: str, method: str, arguments: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        self._number += 1
        asked = self._asked[self._number] = Future[Any]()
        command = {"number": self._number, "client": client, "method": method, **arguments}
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return _result(asked.result(CALL_DEADLINE))

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if "number" in message:
                self._asked.pop(message["number"]).set_result(message)
            else:
                self.note(message)
        for asked in self._asked.values():
            asked.set_exception(RuntimeError("Node has ended; it said why on standard error"))

    def stop(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join(10)
            self._process.stdout.close()


class PageHost(Host):
    """One browser, with a page for each address that clients connect to: a page is welcome at its own origin only."""

    def __init__(self, background: Background) -> None:
        super().__init__()
        self._executable = shutil.which("chromium")
        if self._executable is None:
            pytest.skip("Chromium is not installed, so the SDK for JavaScript cannot run on a page")
        skip_without_npm_package()
        self._background = background
        self._pages: dict[str, Page] = {}
        self._page_of: dict[str, Page] = {}
        self._tired: set[Page] = set()
        self._playwright, self._browser = background.run(self._launch())

    async def _launch(self) -> tuple[Playwright, Browser]:
        playwright = await async_playwright().start()
        return playwright, await playwright.chromium.launch(executable_path=self._executable, args=CHROMIUM_ARGUMENTS)

    def ask(self, client: str, method: str, arguments: Mapping[str, Any]) -> Any:
        command = {"client": client, "method": method, **arguments}
        return _result(self._background.run(self._ask(command), within=CALL_DEADLINE))

    async def _ask(self, command: dict[str, Any]) -> Any:
        client = command["client"]
        if command["method"] == "open":
            address = command["emulation"].removeprefix("http://").removesuffix("/emulation")
            self._page_of[client] = await self._page(address)
        outcome = await self._page_of[client].evaluate("command => driver.run(command)", command)
        if command["method"] == "close":
            await self._leave(self._page_of.pop(client))
        return outcome

    async def _page(self, address: str) -> Page:
        if address not in self._pages:
            page = self._pages[address] = await self._browser.new_page()
            page.on("pageerror", lambda error: self.complaints.append(str(error)))
            page.on("websocket", lambda websocket: websocket.on("socketerror", lambda _: self._tired.add(page)))
            await page.expose_function("emit", self.note)
            await page.goto(f"http://{address}/sdk/page.html")
            await page.wait_for_function("window.driver")
        return self._pages[address]

    async def _leave(self, page: Page) -> None:
        """Closes a page that some WebSocket has failed on: with each, Chromium delays the next ones there more."""
        if page in self._tired and page not in self._page_of.values():
            self._tired.discard(page)
            self._pages = {address: one for address, one in self._pages.items() if one is not page}
            await page.close()

    def stop(self) -> None:
        self._background.run(self._stop())

    async def _stop(self) -> None:
        await self._browser.close()
        await self._playwright.stop()

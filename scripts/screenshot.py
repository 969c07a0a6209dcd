"""Uses the playground at a URL for some seconds and draws it: from its top to the end of the chat, and its room."""

import shutil
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from playwright.sync_api import Locator, Page, expect, sync_playwright

START_DEADLINE = 20.0
WIDTH = 1280
CHROMIUM_ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
CHROMIUM_ARGUMENTS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


def wait_until_served(url: str) -> None:
    """Returns when the server answers; raises the last error at the deadline."""
    deadline = time.monotonic() + START_DEADLINE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def window(page: Page, name: str) -> Locator:
    return page.get_by_role("group", name=name, exact=True)


def connect(page: Page, name: str) -> None:
    window(page, name).get_by_role("button", name=f"Connect {name}").click()
    expect(window(page, name).locator(".state-text")).to_have_text("Connected")


def say(page: Page, name: str, text: str) -> None:
    field = window(page, name).get_by_label("Message")
    field.fill(text)
    field.press("Enter")
    expect(window(page, name).locator(".log li.in").last).to_contain_text(text)


def use(page: Page) -> None:
    """A moment of a visit: two streams under way, an echo, a talk that one of two has left."""
    for name in ("Stream", "Progress", "Echo", "Alice", "Bob"):
        connect(page, name)
    say(page, "Echo", "Is anybody there?")
    say(page, "Echo", "Good. How fast?")
    say(page, "Alice", "Morning, Bob. Is the release out?")
    say(page, "Bob", "Ten minutes ago, and nobody noticed.")
    say(page, "Alice", "Perfect.")
    expect(page.locator("#job-percent")).to_have_text("70%", timeout=10_000)
    window(page, "Bob").get_by_role("button", name="Disconnect Bob").click()
    expect(window(page, "Alice").locator(".log li.in").last).to_contain_text("A client left the chat")
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(0, 0)


def tell(page: Page, name: str, text: str) -> None:
    """As ``say``, for a member of the channel room."""
    window(page, name).get_by_label("Message").fill(text)
    window(page, name).get_by_label("Message").press("Enter")
    expect(window(page, name).locator(".conversation .text").last).to_have_text(text)


def use_room(page: Page) -> None:
    """A moment of the channel room: who was cut off is back, and has what it missed."""
    connect(page, "Server-Sent Events")
    connect(page, "Plain WebSocket")
    window(page, "Plain WebSocket").get_by_label("Message").fill("First, and without an SDK.")
    window(page, "Plain WebSocket").get_by_label("Message").press("Enter")
    window(page, "Frank").get_by_label("Transport").select_option("http_stream")
    connect(page, "Frank")
    tell(page, "Frank", "Is the train in the tunnel yet?")
    connect(page, "Erin")
    tell(page, "Erin", "Any moment now.")
    window(page, "Erin").get_by_role("button", name="Cut the line").click()
    expect(window(page, "Erin").locator(".recovered")).to_have_count(3, timeout=15_000)
    tell(page, "Erin", "Back, and I have read it all.")
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(0, 0)


def main(url: str, folder: str) -> None:
    """Writes the pictures of the playground at ``url`` into ``folder``."""
    wait_until_served(url)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS)
        options = {"viewport": {"width": WIDTH, "height": 900}, "color_scheme": "light"}
        page = browser.new_context(**options, reduced_motion="reduce").new_page()
        page.goto(url)
        use(page)
        end = page.evaluate("document.querySelector('#chat').getBoundingClientRect().bottom + scrollY") + 10
        clip = {"x": 0, "y": 0, "width": WIDTH, "height": end}
        page.screenshot(path=Path(folder, "playground.png"), full_page=True, clip=clip)
        use_room(page)
        page.locator("#channel-room").screenshot(path=Path(folder, "channel-room.png"))
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

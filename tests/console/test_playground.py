"""The playground in a real browser against a real server: its systems, used through the page alone."""

import ast
import itertools
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect
from tests.console.conftest import FAINT_TEXTS, Watched, Window, running_server

from hubbub.asyncapi import FRAME
from hubbub.javascript import browser_sdk

CHECKOUT = Path(__file__).parents[2]
CONSOLE = CHECKOUT / "src" / "hubbub" / "console"
EXAMPLES = CHECKOUT / "examples"
EXPLAINED = {
    1000: "Normal closure",
    1001: "Going away",
    1002: "Protocol error",
    1003: "Unsupported data",
    1005: "No code given",
    1007: "Invalid payload",
    1008: "Policy violation",
    1009: "Message too big",
    1011: "Internal error",
    1012: "Service restart",
    1013: "Try again later",
    3008: "Slow",
    3999: "Protocol or library code",
    4321: "Application code",
}


# Ten seconds of streams run behind the other tests; the last tests look at how they ended.


@pytest.fixture(scope="module")
def streams(browser: Browser, serve: str) -> Iterator[tuple[Window, Window, Page]]:
    page = browser.new_context().new_page()
    page.goto(serve)
    page.evaluate(
        """() => {
            window.barValues = [];
            const bar = document.getElementById('job-progress');
            const note = () => window.barValues.push(bar.value);
            new MutationObserver(note).observe(bar, {attributes: true});
        }"""
    )
    yield Window(page, "Stream").connect(), Window(page, "Progress").connect(), page
    page.context.close()


def test_stream_and_progress_begin_at_once(streams: tuple[Window, Window, Page]) -> None:
    stream, progress, _ = streams
    stream.expect_frame("in", "Streaming message 1")
    progress.expect_frame("in", "Progress update: 10% complete")


# Echo.


def test_echo_answers_and_its_log_shows_time_and_direction(page: Page) -> None:
    echo = Window(page, "Echo").connect()
    echo.say("hello")
    echo.expect_frame("in", "Echo: hello")
    entries = echo.root.locator(".log li")
    expect(entries).to_have_count(3)
    assert entries.locator(".payload").all_text_contents() == [
        "Note: Connected",
        "Sent: hello",
        "Received: Echo: hello",
    ]
    assert entries.locator(".arrow").all_text_contents() == ["·", "↑", "↓"]
    for moment in entries.locator("time").all_text_contents():
        assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}", moment)
    expect(echo.root.locator(".address code")).to_have_text(page.url.replace("http", "ws") + "ws/echo")


def test_hanging_up_closes_with_1000_and_connecting_again_works(page: Page) -> None:
    echo = Window(page, "Echo").connect()
    echo.button("Disconnect Echo").click()
    echo.expect_closed(1000, "Normal closure")
    expect(echo.verdict).to_contain_text("You hung up.")
    expect(echo.state).to_have_text("Closed")
    echo.connect()
    expect(echo.verdict).to_be_empty()
    echo.say("again")
    echo.expect_frame("in", "Echo: again")


def test_a_binary_frame_is_closed_with_1003_and_explained(page: Page) -> None:
    echo = Window(page, "Echo").connect()
    echo.button("Send a binary frame").click()
    echo.expect_frame("out", "Binary, 4 bytes")
    echo.expect_closed(1003, "Unsupported data")
    expect(echo.verdict).to_contain_text("send text")


def test_an_oversized_message_is_closed_with_1009_and_explained(page: Page) -> None:
    echo = Window(page, "Echo").connect()
    echo.button("Send 70 KB").click()
    echo.expect_closed(1009, "Message too big")
    expect(echo.verdict).to_contain_text("smaller pieces")
    assert echo.frames("out") == ["x" * 24 + "… (71,680 characters)"]


def test_sending_before_connecting_is_answered_with_advice_and_keeps_the_text(page: Page) -> None:
    echo = Window(page, "Echo")
    echo.root.get_by_label("Message").fill("too early")
    echo.root.get_by_label("Message").press("Enter")
    echo.expect_frame("note", "Not sent. Connect first.")
    expect(echo.root.get_by_label("Message")).to_have_value("too early")
    expect(echo.button("Send Echo")).to_have_attribute("aria-disabled", "true")


def test_what_arrives_is_shown_as_text_never_as_markup(page: Page) -> None:
    echo = Window(page, "Echo").connect()
    echo.say("<img src=x><b>bold</b>")
    echo.expect_frame("in", "Echo: <img src=x><b>bold</b>")
    expect(echo.root.locator(".log img, .log .text b")).to_have_count(0)


def test_the_log_keeps_the_newest_two_hundred_entries_and_can_be_cleared(page: Page) -> None:
    echo = Window(page, "Echo").connect()
    page.evaluate(
        """() => {
            const form = document.querySelector('#echo form.say');
            for (let i = 1; i <= 120; i++) {
                form.querySelector('input').value = `message ${i}`;
                form.requestSubmit();
            }
        }"""
    )
    echo.expect_frame("in", "Echo: message 120")
    expect(echo.root.locator(".log li")).to_have_count(200)
    expect(echo.root.locator(".count")).to_have_text("240, the last 200 kept")
    echo.button("Clear log Echo").click()
    expect(echo.root.locator(".log li")).to_have_count(0)
    expect(echo.root.locator(".count")).to_have_text("0")


# Rooms.


def test_two_chat_windows_hear_each_other_and_themselves(page: Page) -> None:
    alice, bob = Window(page, "Alice").connect(), Window(page, "Bob").connect()
    alice.say("from alice")
    bob.say("from bob")
    for window in (alice, bob):
        window.expect_frame("in", "Client says: from alice")
        window.expect_frame("in", "Client says: from bob")
    assert alice.frames("out") == ["from alice"]


def test_who_stays_is_told_when_the_other_leaves(page: Page) -> None:
    page.get_by_role("button", name="Connect both in Chat").click()
    alice, bob = Window(page, "Alice"), Window(page, "Bob")
    expect(alice.state).to_have_text("Connected")
    expect(bob.state).to_have_text("Connected")
    alice.button("Disconnect Alice").click()
    bob.expect_frame("in", "A client left the chat")


def test_the_second_room_hears_its_own_and_nothing_of_the_first(page: Page) -> None:
    for room in ("Chat", "Second room"):
        page.get_by_role("button", name=f"Connect both in {room}").click()
    alice, bob, carol, dave = (Window(page, name) for name in ("Alice", "Bob", "Carol", "Dave"))
    for window in (alice, bob, carol, dave):
        expect(window.state).to_have_text("Connected")
    carol.say("over here")
    alice.say("over there")
    for window in (carol, dave):
        window.expect_frame("in", "(Additional) Client says: over here")
    for window in (alice, bob):
        window.expect_frame("in", "Client says: over there")
    carol.button("Disconnect Carol").click()
    dave.expect_frame("in", "(Additional) A client left the chat.")
    assert not [text for window in (carol, dave) for text in window.frames("in") if "over there" in text]
    assert not [text for window in (alice, bob) for text in window.frames("in") if "Additional" in text]
    expect(page.locator("#heard-second-room")).to_have_text("3")


def test_leaving_the_page_leaves_the_room(open_page: Callable[..., Watched]) -> None:
    leaving, staying = open_page().page, open_page().page
    Window(leaving, "Alice").connect()
    bob = Window(staying, "Bob").connect()
    leaving.goto("about:blank")
    bob.expect_frame("in", "A client left the chat")


# With a token.


def test_the_right_token_is_welcomed(page: Page) -> None:
    secure = Window(page, "Secure")
    secure.button("Right token, Secure").click()
    secure.connect()
    secure.expect_frame("in", "Hello, authenticated_user! Welcome to the secure WebSocket.")
    secure.say("psst")
    secure.expect_frame("in", "You said: psst")


@pytest.mark.parametrize("token", ["wrong", "empty"])
def test_a_wrong_or_empty_token_is_refused_with_403_before_accept_and_explained(
    open_page: Callable[..., Watched], token: str
) -> None:
    watched = open_page()
    secure = Window(watched.page, "Secure")
    if token == "wrong":
        secure.button("Wrong token, Secure").click()
    else:
        secure.root.get_by_label("Token").fill("")
    secure.button("Connect Secure").click()
    secure.expect_closed(1006, "Refused before it opened")
    expect(secure.state).to_have_text("Refused")
    expect(secure.verdict).to_contain_text("HTTP 403 for a wrong or empty token")
    assert secure.frames("in") == []
    assert any("Unexpected response code: 403" in text for text in watched.complaints)


def test_a_posted_notification_reaches_every_device_of_the_user(page: Page) -> None:
    laptop, phone = Window(page, "Laptop").connect(), Window(page, "Phone").connect()
    for device in (laptop, phone):
        device.expect_frame("in", "Hello, authenticated_user! You are now connected to secure notifications.")
    backend = page.get_by_role("form", name="Your backend")
    backend.get_by_label("Message to push").fill("dinner is ready")
    with page.expect_request("**/notify") as asked:
        backend.get_by_role("button", name="Push to both").click()
    assert asked.value.method == "POST"
    assert asked.value.headers["authorization"] == "Bearer secret-token"
    assert asked.value.post_data_json == {"message": "dinner is ready"}
    expect(backend.get_by_role("status")).to_contain_text(re.compile(r"^20\d "))
    for device in (laptop, phone):
        device.expect_frame("in", "dinner is ready")


def test_a_post_with_a_wrong_token_shows_its_status_and_reaches_nobody(page: Page) -> None:
    laptop = Window(page, "Laptop").connect()
    backend = page.get_by_role("form", name="Your backend")
    backend.get_by_role("button", name="Wrong token, Your backend").click()
    backend.get_by_role("button", name="Push to both").click()
    expect(backend.get_by_role("status")).to_contain_text(re.compile(r"^40[13] "))
    laptop.say("still here")
    laptop.expect_frame("in", "Notification received: still here")
    assert len(laptop.frames("in")) == 2


def test_what_a_device_sends_is_answered_to_that_device_alone(page: Page) -> None:
    laptop, phone = Window(page, "Laptop").connect(), Window(page, "Phone").connect()
    laptop.say("one")
    laptop.expect_frame("in", "Notification received: one")
    phone.say("two")
    phone.expect_frame("in", "Notification received: two")
    assert not [text for text in phone.frames("in") if text.endswith("one")]


# Goodbyes.


@pytest.mark.parametrize("code", EXPLAINED)
def test_every_close_code_is_named_explained_and_given_a_remedy(page: Page, code: int) -> None:
    def hang_up(route: WebSocketRoute) -> None:
        route.on_message(lambda _: route.close(code=code, reason="because"))

    page.route_web_socket("**/ws/echo", hang_up)
    page.reload()
    echo = Window(page, "Echo").connect()
    echo.say("goodbye?")
    echo.expect_closed(code, EXPLAINED[code])
    expect(echo.verdict.locator(".verdict-title + p")).to_have_text(re.compile(r"^The server hung up\. .+\.$"))
    expect(echo.verdict.locator(".reason")).to_contain_text("“because”")


def test_a_server_that_stops_and_one_that_dies_are_told_apart(
    open_page: Callable[..., Watched], tmp_path: Path
) -> None:
    for ending, code, name in [(signal.SIGTERM, 1012, "Service restart"), (signal.SIGKILL, 1006, "Connection lost")]:
        with running_server(tmp_path / "log") as (url, process):
            watched = open_page(url)
            watched.expected = re.compile("ERR_CONNECTION_REFUSED")
            echo = Window(watched.page, "Echo").connect()
            process.send_signal(ending)
            echo.expect_closed(code, name)
            process.wait(10)
        echo.button("Connect Echo").click()
        echo.expect_closed(1006, "Refused before it opened")


# The page itself.


def test_nothing_is_asked_of_another_origin(open_page: Callable[..., Watched], serve: str) -> None:
    watched = open_page()
    Window(watched.page, "Echo").connect()
    watched.page.get_by_role("button", name="Push to both").click()
    expect(watched.page.locator("#backend-answer")).to_contain_text("20")
    origin = serve.removeprefix("http")
    assert {re.sub(r"^(http|ws)", "", address)[: len(origin)] for address in watched.addresses} == {origin}
    assert {address.removeprefix(serve) for address in watched.addresses if address.startswith("http")} >= {
        "",
        "playground/frame.css",
        "playground/playground.css",
        "playground/playground.js",
        "playground/room.css",
        "playground/room.js",
        "connection/centrifuge.js",
        "notify",
    }


def test_no_file_of_the_page_names_an_external_address() -> None:
    files = [file for file in (FRAME, *CONSOLE.iterdir()) if file.suffix in (".html", ".css", ".js", ".svg")]
    assert len(files) == 14
    for file in files:
        text = file.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text), file.name


def test_the_page_forbids_itself_inline_code_and_addresses_elsewhere(open_page: Callable[..., Watched]) -> None:
    watched = open_page()
    watched.expected = re.compile("inline script violates")
    policy = watched.page.locator("meta[http-equiv='Content-Security-Policy']").get_attribute("content")
    assert policy.startswith("default-src 'self'; connect-src 'self' ws: wss:;")
    assert watched.page.evaluate(
        """() => {
            const script = document.createElement('script');
            script.textContent = 'window.inlineCodeRan = true';
            document.body.append(script);
            return window.inlineCodeRan === undefined;
        }"""
    )


def test_the_code_on_the_page_is_the_chat_example_but_for_comments(page: Page) -> None:
    shown = ast.parse(page.locator("#chat-source").text_content())
    example = ast.parse((EXAMPLES / "chat_server.py").read_text())
    docstring, *example.body = example.body
    assert isinstance(docstring, ast.Expr)
    assert ast.unparse(shown) == ast.unparse(example)


def test_echo_works_by_keyboard_alone(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the playground")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Connect Echo")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    echo = Window(page, "Echo")
    expect(echo.state).to_have_text("Connected")
    expect(echo.button("Disconnect Echo")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.type("typed")
    page.keyboard.press("Enter")
    echo.expect_frame("in", "Echo: typed")


def test_tab_reaches_every_control_in_order_and_leaves_the_page(page: Page) -> None:
    controls = page.evaluate(
        """() => {
            const all = 'a[href], button, input, select, summary, [tabindex="0"]';
            const seen = [...document.querySelectorAll(all)].filter((one) => one.checkVisibility());
            window.order = [];
            document.addEventListener('focusin', (event) => window.order.push(seen.indexOf(event.target)));
            return seen.length;
        }"""
    )
    for _ in range(controls):
        page.keyboard.press("Tab")
    assert page.evaluate("window.order") == list(range(controls))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement === document.body || window.order.at(-1) === 0")


def test_every_control_has_a_name_of_its_own_and_every_log_is_announced(page: Page) -> None:
    names = page.get_by_role("button").all_text_contents()
    assert sorted(names) == sorted(set(names))
    for field in page.locator("input, select").all():
        assert field.evaluate("field => field.labels[0].textContent.trim()")
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert sorted(ids) == sorted(set(ids))
    logs = page.get_by_role("log").all()
    assert len(logs) == (16 if browser_sdk() else 12)
    for log in logs:
        expect(log).to_have_attribute("aria-label", re.compile("^(Frames|Conversation) of "))
        # What a member of the channel room hears is announced once: as a message, not as a frame too.
        twice = re.search("Frames of (Erin|Frank)", log.get_attribute("aria-label"))
        expect(log).to_have_attribute("aria-live", "off" if twice else "polite")
    expect(page.get_by_role("progressbar", name="Job progress")).to_be_visible()


def test_a_phone_sees_no_horizontal_scroll_and_controls_large_enough_to_touch(
    open_page: Callable[..., Watched],
) -> None:
    page = open_page(viewport={"width": 360, "height": 780}, has_touch=True, is_mobile=True).page
    echo = Window(page, "Echo").connect()
    echo.say("unbroken" * 50)
    expect(echo.root.locator(".log li.in")).to_have_count(1)
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    assert page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]") == [360, 360]
    assert echo.root.locator(".log").evaluate("log => log.scrollWidth - log.clientWidth") == 0
    for control in page.locator("button:visible, input:visible, select:visible, summary:visible, nav a").all():
        box = control.bounding_box()
        assert box["height"] >= 44, control
        assert box["width"] >= 44, control
        assert box["x"] >= 0, control
        assert box["x"] + box["width"] <= 360, control


def test_dark_and_light_differ_and_both_have_good_contrast(open_page: Callable[..., Watched]) -> None:
    papers = set()
    for scheme in ("light", "dark"):
        page = open_page(color_scheme=scheme, reduced_motion="reduce").page
        echo, alice, secure = (Window(page, name) for name in ("Echo", "Alice", "Secure"))
        echo.connect().button("Send a binary frame").click()
        alice.connect().say("colours")
        secure.button("Wrong token").click()
        secure.button("Connect Secure").click()
        page.get_by_role("button", name="Push to both").click()
        expect(page.locator("#backend-answer")).to_contain_text("20")
        for shown in (echo, secure):
            expect(shown.verdict).not_to_be_empty()
        page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        paper, faint = page.evaluate(FAINT_TEXTS)
        assert faint == []
        papers.add(paper)
    assert len(papers) == 2


def test_nothing_moves_for_those_who_asked_for_less_motion(open_page: Callable[..., Watched]) -> None:
    moving = "getComputedStyle(document.querySelector('.connect')).transitionDuration"
    assert open_page(reduced_motion="reduce").page.evaluate(moving) == "0s"
    assert open_page(reduced_motion="no-preference").page.evaluate(moving) != "0s"


# How the streams ended.


def test_the_stream_says_ten_messages_a_second_apart_and_closes_with_1000(
    streams: tuple[Window, Window, Page],
) -> None:
    stream, _, _ = streams
    expect(stream.state).to_have_text("Closed", timeout=15_000)
    assert stream.frames("in") == [f"Streaming message {number}" for number in range(1, 11)]
    stream.expect_closed(1000, "Normal closure")
    expect(stream.verdict).to_contain_text("The server hung up.")
    moments = stream.root.locator(".log li.in time").evaluate_all("all => all.map((one) => Date.parse(one.dateTime))")
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert all(500 < gap < 2500 for gap in gaps), gaps


def test_the_progress_bar_moves_to_100_and_its_job_closes_with_1000(
    streams: tuple[Window, Window, Page],
) -> None:
    _, progress, page = streams
    expect(progress.state).to_have_text("Closed", timeout=15_000)
    progress.expect_closed(1000, "Normal closure")
    bar = page.get_by_role("progressbar", name="Job progress")
    expect(bar).to_have_js_property("value", 100)
    expect(page.locator("#job-percent")).to_have_text("100%")
    assert [value for value in page.evaluate("window.barValues") if value] == list(range(10, 101, 10))

"""The channel room of the playground: the JavaScript SDK twice, a plain WebSocket and an event stream, in one room."""

import itertools
import json
import re
import shlex
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page, WebSocketRoute, expect
from tests.console.conftest import FAINT_TEXTS, Watched, Window, running_server

from hubbub.javascript import browser_sdk

TRANSPORTS = {"websocket": "WebSocket", "http_stream": "HTTP stream", "sse": "SSE"}
CUT_DEADLINE = 15_000.0
BELOW = "log => log.scrollHeight - log.scrollTop - log.clientHeight"
MEANWHILE = [f"Said while Erin was cut off, {number} of 3" for number in (1, 2, 3)]

OpenPage = Callable[..., Watched]

needs_sdk = pytest.mark.skipif(
    browser_sdk() is None,
    reason="the npm package centrifuge is not installed: install Node and npm, and run npm ci --prefix web",
)
_rooms = itertools.count(1)


class Member(Window):
    """One SDK's window."""

    def __init__(self, page: Page, name: str) -> None:
        super().__init__(page, name)
        self.people = self.root.locator(".people li")
        self.messages = self.root.locator(".conversation li:not(.event) .text")
        self.events = self.root.locator(".conversation .event")
        self.position = self.root.locator(".position output")

    def over(self, transport: str) -> "Member":
        self.root.get_by_label("Transport").select_option(transport)
        return self

    def of_kind(self, kind: str) -> Locator:
        return self.root.locator(f".conversation li.{kind} .text")

    def cut(self) -> None:
        self.button("Cut the line for 4 s").click()
        expect(self.state).to_have_text(re.compile(r"^Cut off, back in \d s$"))


class Room:
    """The panel, in a room of its own."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.name = f"test-{next(_rooms)}"
        page.get_by_role("textbox", name="Room", exact=True).fill(self.name)
        self.plain = Window(page, "Plain WebSocket")
        self.listener = Window(page, "Server-Sent Events")

    def member(self, name: str, transport: str = "websocket") -> Member:
        member = Member(self.page, name)
        member.over(transport).connect()
        return member

    def listen(self) -> Window:
        """Connects the listener, and waits until it is in the room."""
        self.listener.connect()
        expect(self.listener.root.locator(".log li.in").first).to_contain_text(f'"room:{self.name}"')
        return self.listener


@pytest.fixture
def room(page: Page) -> Room:
    return Room(page)


def publications(window: Window) -> list[dict[str, object]]:
    """What a listener's frames say was published."""
    return [event["pub"] for event in map(json.loads, window.frames("in")) if "pub" in event]


# With the SDK.


@needs_sdk
def test_members_see_who_is_here_and_who_comes_and_leaves(room: Room) -> None:
    erin = room.member("Erin")
    expect(erin.people).to_have_text(["Erin WebSocket (you)"])
    frank = room.member("Frank", "sse")
    room.listen()
    expect(erin.people).to_have_text(["Erin WebSocket (you)", "Frank SSE", "Listener SSE, one way"])
    expect(frank.people.filter(has_text="(you)")).to_have_text(["Frank SSE (you)"])
    expect(frank.root.locator(".people-count")).to_have_text("3")
    frank.button("Disconnect Frank").click()
    expect(frank.state).to_have_text("Closed")
    expect(frank.people).to_have_count(0)
    expect(erin.people).to_have_text(["Erin WebSocket (you)", "Listener SSE, one way"])


@needs_sdk
def test_a_visitor_comes_by_the_name_that_it_gives(room: Room) -> None:
    erin = Member(room.page, "Erin")
    erin.root.get_by_label("Name").fill("Grace")
    erin.connect()
    expect(erin.people).to_have_text(["Grace WebSocket (you)"])
    assert erin.root.get_by_label("Name").get_attribute("readonly") is not None
    erin.say("It is me")
    expect(erin.root.locator(".conversation .own .who")).to_have_text("Grace")


@needs_sdk
def test_who_comes_later_is_shown_what_was_said_before(room: Room) -> None:
    frank = room.member("Frank")
    expect(frank.events).to_have_text(["Nothing was said before you came."])
    for text in ("one", "two"):
        frank.say(text)
        expect(frank.messages.last).to_have_text(text)
    erin = room.member("Erin")
    expect(erin.events).to_have_text(["Above: 2 messages said before you came."])
    frank.say("three")
    expect(erin.messages).to_have_text(["one", "two", "three"])
    expect(erin.of_kind("history")).to_have_text(["one", "two"])
    expect(erin.of_kind("live")).to_have_text(["three"])
    expect(erin.position).to_have_text(re.compile(r"^offset 3, epoch \w+$"))


@needs_sdk
def test_what_is_said_while_the_history_is_read_is_not_shown_twice(room: Room) -> None:
    asked: list[Callable[[], None]] = []

    def hold_back_the_question(route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        route.on_message(
            lambda said: asked.append(lambda: server.send(said)) if '"history"' in str(said) else server.send(said)
        )

    room.page.route_web_socket("**/connection/websocket", hold_back_the_question)
    frank = room.member("Frank", "sse")
    frank.say("before")
    erin = room.member("Erin")
    expect(erin.events).to_have_text(["Reading the history…"])
    frank.say("meanwhile")
    expect(erin.messages).to_have_text(["meanwhile"])
    asked[0]()
    expect(erin.events).to_have_text(["Above: 1 message said before you came."])
    expect(erin.messages).to_have_text(["before", "meanwhile"])


@needs_sdk
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_one_says_all_hear_each_in_its_own_way(room: Room, transport: str) -> None:
    listener = room.listen()
    room.plain.connect().say("from a socket")
    room.plain.expect_frame("in", '{"text":"from a socket"}')
    erin = room.member("Erin", transport)
    erin.say("from <b>Erin</b>")
    room.plain.expect_frame("in", '{"text":"from <b>Erin</b>"}')
    room.plain.say("again")
    expect(erin.messages).to_have_text(["from a socket", "from <b>Erin</b>", "again"])
    expect(erin.root.locator(".conversation .who")).to_have_text(["No SDK", "Erin", "No SDK"])
    expect(listener.root.locator(".log li.in").filter(has_text="again")).to_have_count(1)
    heard = publications(listener)
    assert [one["data"] for one in heard] == [{"text": text} for text in ("from a socket", "from <b>Erin</b>", "again")]
    assert ["info" in one for one in heard] == [False, True, False]
    assert heard[1]["info"]["conn_info"] == {"transport": transport}
    expect(erin.root.locator(".log li.note").first).to_contain_text(f"Connected over {transport} as ")
    expect(erin.root.locator(".address code")).to_have_text(re.compile(rf"/connection/{transport}$"))
    (sent,) = [frame for frame in erin.frames("out") if '"publish"' in frame]
    assert json.loads(sent[sent.index("{") :])["publish"]["data"] == {"text": "from <b>Erin</b>"}


@needs_sdk
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_member_whose_line_was_cut_gets_what_it_missed_exactly_once(room: Room, transport: str) -> None:
    frank, erin = room.member("Frank"), room.member("Erin", transport)
    frank.say("before")
    expect(erin.messages).to_have_text(["before"])
    erin.cut()
    expect(frank.people).to_have_text(["Frank WebSocket (you)"])
    expect(erin.people).to_have_count(0)
    expect(frank.messages).to_have_text(["before", *MEANWHILE], timeout=CUT_DEADLINE)
    expect(erin.messages).to_have_text(["before"])
    expect(erin.state).to_have_text("Connected", timeout=CUT_DEADLINE)
    expect(erin.of_kind("recovered")).to_have_text(MEANWHILE)
    away = r"^Away for [4-9]\.\d s\. recovered: true, 3 messages missed, offset 1 → 4\.$"
    expect(erin.events.nth(1)).to_have_text("The line is cut, at offset 1.")
    expect(erin.events.nth(2)).to_have_text(re.compile(away))
    expect(erin.position).to_have_text(re.compile("^offset 4, "))
    expect(frank.people).to_have_count(2)
    frank.say("after")
    expect(erin.messages).to_have_text(["before", *MEANWHILE, "after"])
    expect(erin.of_kind("live")).to_have_text(["before", "after"])
    offsets = erin.root.locator(".conversation .offset").all_text_contents()
    assert offsets == [f"#{number}" for number in range(1, 6)]
    assert [text for text in erin.frames("in") if '"recovered":true' in text]
    assert [text for text in erin.frames("note") if text.startswith("Lost: ")]
    for log in erin.root.get_by_role("log").all():
        assert log.evaluate(BELOW) < 2, "the end is in view, though the window has changed its shape"


@needs_sdk
def test_a_cut_without_anybody_else_misses_nothing(room: Room) -> None:
    erin = room.member("Erin")
    erin.say("alone")
    expect(erin.messages).to_have_text(["alone"])
    erin.cut()
    erin.root.get_by_label("Message").fill("lost?")
    erin.root.get_by_label("Message").press("Enter")
    erin.expect_frame("note", "Not sent. Connect first.")
    expect(erin.state).to_have_text("Connected", timeout=CUT_DEADLINE)
    expect(erin.events.last).to_contain_text("recovered: true, 0 messages missed, offset 1.")
    expect(erin.messages).to_have_text(["alone"])


@needs_sdk
def test_a_cut_can_be_given_up_and_connecting_again_works(room: Room) -> None:
    erin = room.member("Erin")
    erin.cut()
    erin.button("Disconnect Erin").click()
    expect(erin.state).to_have_text("Closed")
    erin.connect()


@needs_sdk
def test_a_member_goes_on_over_another_transport_and_after_a_goodbye_without_a_gap(room: Room) -> None:
    frank, erin = room.member("Frank"), room.member("Erin")
    frank.say("one")
    expect(erin.messages).to_have_text(["one"])
    erin.over("http_stream")
    expect(erin.state).to_have_text("Connected")
    expect(erin.people.filter(has_text="(you)")).to_have_text(["Erin HTTP stream (you)"])
    expect(erin.events.last).to_contain_text("recovered: true, 0 messages missed")
    erin.button("Disconnect Erin").click()
    expect(erin.state).to_have_text("Closed")
    frank.say("two")
    expect(frank.messages).to_have_text(["one", "two"])
    erin.over("sse").connect()
    expect(erin.events.last).to_contain_text("recovered: true, 1 message missed, offset 1 → 2.")
    expect(erin.messages).to_have_text(["one", "two"])
    expect(erin.of_kind("recovered")).to_have_text(["two"])


@needs_sdk
def test_a_server_that_was_started_anew_cannot_recover_and_the_page_says_so(
    open_page: OpenPage, tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with running_server(tmp_path / "log", port) as (url, _):
        watched = open_page(url)
        watched.expected = re.compile("ERR_|WebSocket connection to|404")
        room = Room(watched.page)
        erin = room.member("Erin")
        listener = room.listen()
        erin.say("forgotten")
        expect(erin.messages).to_have_text(["forgotten"])
    expect(erin.state).to_have_text("Coming back…")
    with running_server(tmp_path / "log", port):
        expect(erin.state).to_have_text("Connected", timeout=CUT_DEADLINE)
        expect(listener.state).to_have_text("Connected", timeout=CUT_DEADLINE)
        expect(erin.events.nth(-2)).to_contain_text("recovered: false.")
        expect(erin.events.last).to_have_text("Nothing was kept by the server.")
        erin.say("new")
        expect(erin.messages).to_have_text(["forgotten", "new"])
        expect(erin.position).to_have_text(re.compile("^offset 1, "))


@needs_sdk
def test_who_missed_more_than_the_room_keeps_is_told_and_shown_the_rest(room: Room) -> None:
    erin = room.member("Erin")
    erin.say("first")
    expect(erin.messages).to_have_text(["first"])
    erin.button("Disconnect Erin").click()
    room.plain.connect().root.locator("form.say").evaluate(
        """form => {
            for (let i = 2; i <= 60; i++) {
                form.querySelector('input').value = `${i}`;
                form.requestSubmit();
            }
        }"""
    )
    room.plain.expect_frame("in", '{"text":"60"}')
    erin.connect()
    expect(erin.events.nth(-2)).to_contain_text("recovered: false.")
    expect(erin.events.last).to_have_text("Above: 20 messages kept by the server.")
    expect(erin.messages).to_have_text(["first", *(str(number) for number in range(41, 61))])
    expect(erin.position).to_have_text(re.compile("^offset 60, "))


# Refusals.


@needs_sdk
def test_what_is_no_message_is_refused_explained_and_heard_by_nobody(room: Room) -> None:
    erin, frank = room.member("Erin"), room.member("Frank")
    erin.button("Send 600 characters").click()
    erin.expect_closed(107, "Invalid request")
    expect(erin.verdict.locator(".reason")).to_contain_text("“text: String should have at most 500 characters”")
    expect(erin.state).to_have_text("Connected")
    erin.say("")
    expect(erin.verdict.locator(".reason")).to_contain_text("at least 1 character")
    erin.say("better")
    expect(erin.verdict).to_be_empty()
    expect(erin.root.get_by_label("Message")).to_have_value("")
    expect(frank.messages).to_have_text(["better"])


@needs_sdk
@pytest.mark.parametrize("name", ["", "x" * 33])
def test_a_name_that_is_none_is_refused_and_explained(room: Room, name: str) -> None:
    erin = Member(room.page, "Erin")
    erin.root.get_by_label("Name").fill(name)
    erin.button("Connect Erin").click()
    erin.expect_closed(107, "Invalid request")
    expect(erin.state).to_have_text("Refused")
    expect(erin.verdict.locator(".reason")).to_contain_text("name: String should have at ")
    erin.root.get_by_label("Name").fill("Erin")
    erin.connect()
    expect(erin.verdict).to_be_empty()


@needs_sdk
def test_a_room_that_is_none_is_refused_by_every_way_in(room: Room) -> None:
    room.page.get_by_role("textbox", name="Room", exact=True).fill("a:b")
    room.page.get_by_role("button", name="Connect all in the channel room").click()
    Member(room.page, "Erin").expect_closed(102, "Unknown channel")
    room.plain.expect_closed(1006, "Refused before it opened")
    room.listener.expect_closed(3501, "Bad request")
    for window in (Member(room.page, "Erin"), Member(room.page, "Frank"), room.plain, room.listener):
        expect(window.state).to_have_text("Refused")


@needs_sdk
def test_one_button_connects_all_and_the_room_is_fixed_meanwhile(room: Room) -> None:
    link = room.page.get_by_role("link", name="Channel room")
    name = room.page.get_by_role("textbox", name="Room", exact=True)
    room.page.get_by_role("button", name="Connect all in the channel room").click()
    windows = [Member(room.page, "Erin"), Member(room.page, "Frank"), room.plain, room.listener]
    for window in windows:
        expect(window.state).to_have_text("Connected")
    expect(windows[0].people).to_have_count(3)
    expect(name).not_to_be_editable()
    expect(link).to_have_attribute("data-state", "open")
    room.page.get_by_role("button", name="Disconnect all in the channel room").click()
    for window in windows:
        expect(window.state).to_have_text("Closed")
    expect(name).to_be_editable()
    name.fill(f"{room.name}-other")
    erin = Member(room.page, "Erin")
    erin.connect()
    expect(erin.events).to_have_text(["Nothing was said before you came."])
    expect(room.plain.root.locator(".address code")).to_have_text(re.compile(rf"/ws/room/{room.name}-other$"))


# Without the SDK.


def test_without_the_sdk_the_panel_says_what_to_do_and_everything_else_works(open_page: OpenPage) -> None:
    watched = open_page()
    watched.expected = re.compile("404")
    page = watched.page
    page.route("**/connection/centrifuge.js", lambda route: route.fulfill(status=404))
    page.reload()
    panel = page.get_by_role("region", name="Channel room")
    expect(panel.locator(".sdk-missing")).to_have_text(re.compile(r"this installation has no SDK\.\s+What to do$"))
    expect(page.get_by_role("group", name="Erin", exact=True)).to_have_count(0)
    room = Room(page)
    page.get_by_role("button", name="Connect all in the channel room").click()
    for window in (room.plain, room.listener):
        expect(window.state).to_have_text("Connected")
    room.plain.say("hello")
    expect(room.listener.root.locator(".log li.in").filter(has_text='"hello"')).to_have_count(1)
    echo = Window(page, "Echo").connect()
    echo.say("hello")
    echo.expect_frame("in", "Echo: hello")


@needs_sdk
def test_with_the_sdk_nothing_is_said_to_be_missing(room: Room) -> None:
    expect(room.page.locator(".sdk-missing")).to_be_hidden()


# The listener.


def test_the_command_for_a_terminal_hears_the_room(room: Room) -> None:
    name = room.page.get_by_role("textbox", name="Room", exact=True)
    command = room.listener.root.locator(".command code")
    for text in ("it's", room.name):
        name.fill(text)
        words = shlex.split(command.text_content().replace("\\\n", ""))
        assert [*words[:3], words[4]] == ["curl", "-N", "-G", "--data-urlencode"]
        assert json.loads(words[5].removeprefix("cf_connect=")) == {
            "data": {"name": "curl"},
            "subs": {f"room:{text}": {}},
        }
    field, _, value = words[5].partition("=")
    with urllib.request.urlopen(f"{words[3]}?{field}={quote(value)}", timeout=5) as events:
        lines = (line for line in events if line.startswith(b"data: "))
        assert f"room:{room.name}" in json.loads(next(lines)[6:])["connect"]["subs"]
        room.plain.connect().say("hello, terminal")
        pushes = (json.loads(line[6:]) for line in lines)
        join = next(push["join"] for push in pushes if "join" in push)
        published = next(push["pub"] for push in pushes if "pub" in push)
    assert join["info"]["user"] == "curl"
    assert published["data"] == {"text": "hello, terminal"}


def test_the_command_is_copied_or_at_least_selected(open_page: OpenPage) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"]).page
    command = page.locator(".command code").text_content()
    copy = page.locator(".copy")
    copy.click()
    expect(copy).to_have_text("Copied the curl command")
    assert page.evaluate("navigator.clipboard.readText()") == command
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    copy.click()
    expect(copy).to_have_text("Selected: now copy it the curl command")
    assert page.evaluate("getSelection().toString().trim()") == command


def test_a_plain_socket_is_told_what_is_no_message(room: Room) -> None:
    room.plain.connect().say("")
    room.plain.expect_frame("in", '{"error":"String should have at least 1 character"}')
    expect(room.plain.state).to_have_text("Connected")


# How it looks.


@needs_sdk
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_of_the_room_has_good_contrast(open_page: OpenPage, scheme: str) -> None:
    room = Room(open_page(color_scheme=scheme, reduced_motion="reduce").page)
    frank, erin = room.member("Frank"), room.member("Erin")
    room.plain.connect().say("for the history")
    expect(frank.messages).to_have_count(1)
    frank.button("Send 600 characters").click()
    frank.expect_closed(107, "Invalid request")
    erin.cut()
    assert room.page.evaluate(FAINT_TEXTS)[1] == []
    expect(erin.of_kind("recovered")).to_have_count(3, timeout=CUT_DEADLINE)
    assert room.page.evaluate(FAINT_TEXTS)[1] == []
    frank.button("Disconnect Frank").hover()
    assert room.page.evaluate(FAINT_TEXTS)[1] == []


@needs_sdk
def test_on_a_phone_nothing_of_the_room_is_wider_than_the_screen(open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 360, "height": 780}, has_touch=True, is_mobile=True).page
    room = Room(page)
    room.listen()
    erin = Member(page, "Erin")
    erin.root.get_by_label("Name").fill("W" * 32)
    erin.connect()
    erin.say("unbroken" * 50)
    expect(erin.messages).to_have_count(1)
    assert page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]") == [360, 360]
    for box in page.locator("#channel-room .log, #channel-room pre, #channel-room .people").all():
        assert box.evaluate("box => box.scrollWidth - box.clientWidth") == 0
    for control in page.locator("#channel-room :is(button, input, select)").all():
        box = control.bounding_box()
        assert min(box["height"], box["width"]) >= 44, control


@needs_sdk
def test_the_room_works_by_keyboard_alone(room: Room) -> None:
    erin = Member(room.page, "Erin")
    erin.root.get_by_label("Name").focus()
    for key in ("Tab", "ArrowDown", "Tab", "Enter"):  # to the transports, the second of them, and to Connect
        room.page.keyboard.press(key)
    expect(erin.state).to_have_text("Connected")
    expect(erin.button("Disconnect Erin")).to_be_focused()
    expect(erin.people).to_have_text(["Erin HTTP stream (you)"])
    for key in ("Tab", "Tab"):  # by the conversation, which scrolls, to the message
        room.page.keyboard.press(key)
    room.page.keyboard.press("ControlOrMeta+A")
    room.page.keyboard.type("typed")
    room.page.keyboard.press("Enter")
    expect(erin.messages).to_have_text(["typed"])


@needs_sdk
def test_the_conversation_shows_its_end_until_a_reader_scrolls_up(room: Room) -> None:
    erin = room.member("Erin")
    for number in range(1, 21):
        erin.say(f"line {number}")
        expect(erin.messages).to_have_count(number)
    box = erin.root.locator(".conversation")
    assert box.evaluate(BELOW) < 2
    box.evaluate("box => { box.style.blockSize = '8rem' }")
    room.page.wait_for_function(f"box => ({BELOW})(box) < 2", arg=box.element_handle())
    box.evaluate("box => { box.scrollTop = 40 }")
    erin.say("below")
    expect(erin.messages).to_have_count(21)
    assert box.evaluate("box => box.scrollTop") == 40

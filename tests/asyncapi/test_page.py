"""The page: all of the document, for people, and nothing that can do harm."""

import base64
import hashlib
import re
from typing import Annotated, Literal

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, create_model
from tests.asyncapi import shop
from tests.asyncapi.reading import Reading

from hubbub import JWT, Data, Hub
from hubbub.asyncapi.page import CONTENT_POLICY, page
from hubbub.asyncapi.servers import servers

ELEMENTS = {
    *("html", "head", "meta", "title", "link", "style", "body", "header", "main", "nav", "section", "article", "div"),
    *("h1", "h2", "h3", "h4", "p", "ul", "li", "dl", "dt", "dd", "a", "span", "code", "pre"),
    *("svg", "path", "g", "circle"),
}


def read(hub: Hub, app: FastAPI) -> Reading:
    document = hub.asyncapi(app)
    document["servers"] = servers("hub.example", "/rt", secure=True, token=False)
    return Reading(page(document, "asyncapi.json"))


@pytest.fixture(scope="module")
def shown() -> Reading:
    return read(shop.hub, shop.app)


@pytest.mark.parametrize(
    "text",
    [
        "Corner shop 2.1.0",
        "Everything that is said in the corner shop , as it is said.",
        "A room of the shop, for everyone who may be on its floor.",
        "history: 100 ttl: 1 h recovery: for all presence join leave: for all",
        "room string Its short name. at most 20 characters",
        "number integer Contains no colon.",
        "Clients publish Says a line to all in the room.",
        '{ "mood": "happy", "text": "Good morning" }',
        "Subscribers receive Spoken A line, as all get it.",
        "floor Floor Where it was said. default ground",
        "loud boolean required Whether it ends in an exclamation mark.",
        "May subscribe the app decides May publish the app decides May see presence subscribers",
        "May subscribe clients with a token for it",
        "to list of integer, integer required at least 2 items; at most 2 items",
        "Clients subscribe with 1 or 2",
        "Subscribers receive Move kind",
        "Guests may look around. Clients connect with Author or null",
        "lines.find Finds lines by their words. Clients call with Query What is looked for. words list of string",
        "Answer Page_Line_ items list of Line required more boolean default false",
        "lines.count Clients call with no data Answer integer",
        "echo Clients call with anything Answer anything",
        "WebSocket, JSON wss://hub.example/rt/connection/websocket",
        "Further commands go to /rt/emulation .",
        "JWT The token of the connect command.",
        'Floor Where in the building. "ground" or "roof"',
    ],
)
def test_what_the_document_says_is_told(shown: Reading, text: str) -> None:
    assert text in shown.text


def test_every_link_leads_somewhere(shown: Reading) -> None:
    anchors = [f"#{name}" for name in shown.values("id")]
    assert len(set(anchors)) == len(anchors)
    targets = {target for target in shown.values("href") if not target.startswith("data:")}
    assert targets - set(anchors) == {"asyncapi.json"}
    assert "#schema-Line" in targets
    assert "#channel-chat_floor_room" in targets


def test_nothing_comes_from_elsewhere(shown: Reading) -> None:
    assert shown.names <= ELEMENTS
    assert shown.values("src") == []
    assert not re.search(r"url\(|@import", page(shop.hub.asyncapi(shop.app), "asyncapi.json"))


def test_the_policy_allows_this_style_alone() -> None:
    style = re.search(r"<style>(.*)</style>", page(Hub().asyncapi(FastAPI()), ""), re.DOTALL)
    assert style is not None
    assert base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode() in CONTENT_POLICY
    assert "unsafe" not in CONTENT_POLICY


def test_an_empty_hub_has_an_empty_page() -> None:
    shown = Reading(page(Hub().asyncapi(FastAPI()), "asyncapi.json"))
    assert "h2" not in shown.names
    assert shown.text.startswith("FastAPI – AsyncAPI")


def test_bytes_are_told_from_json() -> None:
    hub = Hub()

    @hub.channel("raw").on_publish
    async def take(data: Annotated[bytes, Data()]) -> None: ...

    assert "Clients publish bytes, as they come Subscribers receive bytes, as they come" in read(hub, FastAPI()).text


EVIL = '</code></style><script>alert(1)</script><img src=x onerror=alert(1)>" onload="alert(1)" \' ${title} $title &lt;'


def hostile() -> tuple[Hub, FastAPI]:
    """An app that says evil things wherever it can say anything."""
    model = create_model(
        EVIL,
        __config__=ConfigDict(json_schema_extra={"examples": [{EVIL: EVIL}], "description": EVIL}),
        text=(Annotated[str, Field(alias=EVIL, pattern="<script>", description=EVIL)], EVIL),
        kind=(Literal["</p><script>"], ...),
    )

    async def say(message: model, room: Annotated[str, Field(description=EVIL, examples=[EVIL])]) -> None: ...  # type: ignore[valid-type]

    say.__doc__ = f"`{EVIL}`\n\n{EVIL}\n    {EVIL}"
    hub = Hub(auth=JWT(secret="x" * 32))
    hub.channel(f"{re.sub('[{}]', '', EVIL)}:{{room}}", history=1).on_publish(say)
    hub.rpc(EVIL)(say_nothing)
    return hub, FastAPI(title=EVIL, version=EVIL, description=EVIL)


async def say_nothing(data: BaseModel) -> None: ...


def test_evil_names_and_docstrings_are_text() -> None:
    hub, app = hostile()
    document = hub.asyncapi(app)
    document["servers"] = servers(EVIL, EVIL, secure=False, token=True)
    shown = Reading(page(document, "asyncapi.json"))
    assert shown.names <= ELEMENTS
    allowed = {"href", "id", "class", "tabindex", "lang", "charset", "name", "content", "media", "rel", "aria-label"}
    allowed |= {"viewbox", "aria-hidden", "focusable", "d", "cx", "cy", "r"}
    assert {name for _, attributes in shown.elements for name in attributes} <= allowed
    assert {target for target in shown.values("href") if not target.startswith(("#", "data:image"))} == {
        "asyncapi.json"
    }
    assert shown.text.count("<script>alert(1)</script>") > 10

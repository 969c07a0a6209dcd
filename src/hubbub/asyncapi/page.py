"""The AsyncAPI document as a page to read: HTML without a script, which asks for nothing more."""

import base64
import hashlib
import json
from pathlib import Path
from string import Template

from hubbub.asyncapi.markup import Html, element, joined, paragraphs
from hubbub.asyncapi.rules import features, permissions
from hubbub.asyncapi.schemas import Object, Schema, referred
from hubbub.asyncapi.shapes import definitions, expression, fields, remarks

_HERE = Path(__file__).parent
_TEMPLATE = Template((_HERE / "page.html").read_text("utf-8"))
FRAME = _HERE / "frame.css"
"""The style sheet of what all pages have in common."""
_STYLE = FRAME.read_text("utf-8") + (_HERE / "page.css").read_text("utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

CONTENT_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""For the header: no script, no request, no style but the page's own."""
_SERVERS = Html("<servers>")
"""Stands where the servers go. Text of the app's cannot look like it, since that is escaped."""


class Page:
    """The page of one document, made once: only how the app is reached differs from request to request.

    Args:
        document: as ``hubbub.asyncapi.document`` made it.
        source: where the document itself is.
    """

    def __init__(self, document: Object, source: str) -> None:
        whole = _whole(document, source)
        self._before, _, self._after = whole.partition(_SERVERS)

    def text(self, servers: Object) -> str:
        """The page for a client that reaches the app by ``servers``."""
        return f"{self._before}{joined(map(_server, servers.values()))}{self._after}"


def page(document: Object, source: str) -> str:
    """The page of a document, for its own servers; the arguments are those of ``Page``."""
    return Page(document, source).text(document.get("servers", {}))


def _whole(document: Object, source: str) -> str:
    info, parts = document["info"], _Parts(document)
    sections = (
        ("Channels", "panels", parts.channels()),
        ("Calls", "panels", parts.calls()),
        ("Connect", "cards", parts.connections()),
        ("Schemas", "cards", parts.schemas()),
    )
    return _TEMPLATE.substitute(
        title=joined([info["title"]]),
        version=joined([info["version"]]),
        description=paragraphs(info.get("description", "")),
        source=element("a", source.rpartition("/")[2], href=source),
        style=_STYLE,
        navigation=parts.navigation(),
        main=joined(
            joined([element("h2", title), element("div", *found, class_=kind)])
            for title, kind, found in sections
            if found
        ),
    )


class _Parts:
    """What the sections of the page consist of."""

    def __init__(self, document: Object) -> None:
        self._document = document
        self._schemas: dict[str, Schema] = document["components"]["schemas"]
        self._operations: dict[str, list[Object]] = {key: [] for key in document["channels"]}
        for operation in document["operations"].values():
            self._operations[operation["channel"]["$ref"].rpartition("/")[2]].append(operation)

    def navigation(self) -> Html:
        channels = self._document["channels"].items()
        return joined(element("li", element("a", _title(one), href=f"#channel-{key}")) for key, one in channels)

    def channels(self) -> list[Html]:
        return [self._panel(key, one) for key, one in self._document["channels"].items() if one["address"] is not None]

    def calls(self) -> list[Html]:
        return [self._panel(key, one) for key, one in self._document["channels"].items() if one["address"] is None]

    def connections(self) -> list[Html]:
        found = [_SERVERS] if self._document.get("servers") else []
        for scheme in self._document["components"].get("securitySchemes", {}).values():
            found.append(_card(scheme.get("bearerFormat", "Token"), paragraphs(scheme["description"])))
        return found

    def schemas(self) -> list[Html]:
        return [
            _card(name, *remarks(schema, "p"), self._shape(schema), id=f"schema-{name}")
            for name, schema in self._schemas.items()
        ]

    def _panel(self, key: str, channel: Object) -> Html:
        parameters = {name: (_parameter(one), False) for name, one in channel.get("parameters", {}).items()}
        rules = channel.get("x-hubbub-rules", {})
        return element(
            "section",
            element("h3", _title(channel)),
            paragraphs(channel.get("description", "")),
            features(rules),
            definitions(parameters),
            *map(self._operation, self._operations[key]),
            permissions(rules, tokens="securitySchemes" in self._document["components"]),
            class_="panel",
            id=f"channel-{key}",
        )

    def _operation(self, operation: Object) -> Html:
        title, action, described = operation["title"], operation["action"], paragraphs(operation.get("description", ""))
        if "reply" not in operation:
            return self._way(title, action, operation["messages"], described)
        asked = self._way(title, action, operation["messages"])
        return joined([described, asked, self._way("Answer", "send", operation["reply"]["messages"])])

    def _way(self, title: str, action: str, messages: list[Object], described: str = "") -> Html:
        found = [element("div", self._message(self._look_up(message)), class_="message") for message in messages]
        content = found or [element("p", "no data", class_="type")]
        return element("div", element("h4", title), described, *content, class_=f"way {action}")

    def _look_up(self, reference: Object) -> Object:
        *_, channel, _, message = reference["$ref"].split("/")
        found: Object = self._document["channels"][channel]["messages"][message]
        return found

    def _message(self, message: Object) -> Html:
        if "payload" not in message:
            return element("p", "bytes, as they come")
        payload = message["payload"]
        shape = self._schemas.get(referred(payload), {})
        examples = [
            element("pre", json.dumps(example["payload"], indent=2, ensure_ascii=False), tabindex="0")
            for example in message.get("examples", ())
        ]
        return joined(
            [element("p", expression(payload), class_="type"), *remarks(shape, "p"), fields(shape), *examples]
        )

    def _shape(self, schema: Schema) -> Html:
        return fields(schema) or element("p", expression(schema), class_="type")


def _title(channel: Object) -> Html:
    return element("code", channel["title"])


def _card(title: str, *content: Html, id: str = "") -> Html:
    return element("article", element("h3", title), *content, class_="card", id=id)


def _server(server: Object) -> Html:
    address = f"{server['protocol']}://{server['host']}{server['pathname']}"
    description = paragraphs(server["description"])
    return _card(server["title"], element("p", element("code", address), class_="address"), description)


def _parameter(parameter: Object) -> Schema:
    return {**parameter.get("x-hubbub-schema", {"type": "string"}), "description": parameter["description"]}

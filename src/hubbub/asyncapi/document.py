"""The AsyncAPI document of an app: what it declares on its hub, in the words of the specification.

The app is who ``receive``s what clients publish, and who ``send``s what channels publish. An RPC method is a channel
of its own, without an address since methods have no place among the names of channels, and with a reply.
Source: https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

import re
from collections.abc import Container, Sequence

from fastapi import FastAPI
from pydantic_core import to_json

from hubbub.asyncapi.schemas import Object, Schema, Schemas
from hubbub.asyncapi.servers import BINDINGS, security_scheme
from hubbub.asyncapi.uses import Declared, Part, Use, handlers_of, message_of, sent, taken, wanted
from hubbub.channels import Pattern
from hubbub.hub.declaration import Declaration
from hubbub.hub.handlers import Handler
from hubbub.hub.kinds.maps import Map
from hubbub.hub.kinds.shared_poll import SharedPoll
from hubbub.hub.maps import rules as maps
from hubbub.hub.polls import rules as polls
from hubbub.hub.registry import Registry

VERSION = "3.0.0"

_TYPES = ("stream", "map", "map_clients", "map_users", "shared_poll")
"""Types of channels, by their numbers in the protocol."""

_JSON = "application/json"
_BYTES = "application/octet-stream"
_BINDINGS = {"$ref": "#/components/channelBindings/session"}


def document(app: FastAPI, described: Object, servers: Object | None = None) -> Object:
    """The whole document: what ``app`` says of itself, how it is reached, and what ``describe`` returned."""
    info = {"title": app.title, "version": app.version}
    if app.description:
        info["description"] = app.description
    return {"asyncapi": VERSION, "info": info, **({"servers": servers} if servers else {}), **described}


def describe(registry: Registry) -> Object:
    """Channels, operations and components: what is the same for all who ask."""
    contents = _Contents(registry)
    components: Object = {"schemas": contents.schemas.components, "channelBindings": {"session": BINDINGS}}
    if registry.auth is not None:
        components["securitySchemes"] = {"token": security_scheme(registry.auth)}
    return {
        "defaultContentType": _JSON,
        "channels": contents.channels,
        "operations": contents.operations,
        "components": components,
    }


class _Contents:
    """Channels and operations, which grow as declarations are added."""

    def __init__(self, registry: Registry) -> None:
        self.schemas = Schemas((use, use.type, use.mode) for use in dict.fromkeys(wanted(registry)))
        self.channels: dict[str, Object] = {}
        self.operations: dict[str, Object] = {}
        for declaration in registry.catalogue:
            self._add_channel(declaration)
        if registry.on_connect is not None:
            self._add_connect(registry.on_connect)
        for name, handler in registry.methods.items():
            self._add_method(name, handler)

    def _add_channel(self, declaration: Declaration) -> None:
        pattern, on_subscribe, on_publish = declaration.pattern, declaration.on_subscribe, declaration.on_publish
        channel = self._open(pattern.text, _address(pattern.text), pattern.text, on_subscribe)
        if declaration.rules.personal:
            self.channels[channel]["description"] = _personal(pattern, self.channels[channel].get("description", ""))
        if pattern.parameters:
            parameters = {name: self._parameter(declaration, name) for name in pattern.parameters}
            self.channels[channel]["parameters"] = parameters
        self.channels[channel]["x-hubbub-rules"] = _rules(declaration)
        if (use := message_of(on_subscribe)) is not None:
            data = self._message(channel, "subscription", use)
            self._operate("subscribe", channel, "Clients subscribe with", [data])
        if on_publish is not None or declaration.rules.may_publish != "nobody":
            data = self._message(channel, "publication", taken(declaration))
            operation = self._operate("publish", channel, "Clients publish", [data])
            operation |= _description(on_publish)
        messages = [self._message(channel, "publication", use) for use in sent(declaration)]
        self._operate("send", channel, "Subscribers receive", messages, action="send")

    def _add_connect(self, handler: Handler) -> None:
        if (use := message_of(handler)) is not None:
            channel = self._open("connect", None, "connect", handler)
            self._operate("connect", channel, "Clients connect with", [self._message(channel, "data", use)])

    def _add_method(self, name: str, handler: Handler) -> None:
        channel = self._open(f"rpc_{name}", None, name, None)
        use = message_of(handler)
        request = [] if use is None else [self._message(channel, "request", use)]
        operation = self._operate("call", channel, "Clients call with", request)
        operation |= _description(handler)
        answer = self._message(channel, "answer", Use(handler, Part.ANSWER))
        operation["reply"] = {"channel": operation["channel"], "messages": [answer]}
        operation["x-hubbub-method"] = name

    def _open(self, name: str, address: str | None, title: str, handler: Handler | None) -> str:
        """Adds a channel, and gives its key."""
        key = _key(name, self.channels)
        self.channels[key] = {"address": address, "title": title, **_description(handler), "messages": {}}
        self.channels[key]["bindings"] = _BINDINGS
        return key

    def _operate(
        self, verb: str, channel: str, title: str, messages: Sequence[Object], *, action: str = "receive"
    ) -> Object:
        """Adds an operation on a channel."""
        operation: Object = {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "title": title}
        operation["messages"] = list({message["$ref"]: message for message in messages}.values())
        self.operations[_key(f"{verb}_{channel}", self.operations)] = operation
        return operation

    def _message(self, channel: str, role: str, use: Use | Declared | None) -> Object:
        """A reference to the channel's message of a type; it is added once, as each shall fit one message only."""
        message = {"payload": {}} if use is None else self._typed(use)
        messages = self.channels[channel]["messages"]
        key = next((key for key, known in messages.items() if known == message), "")
        if not key:
            key = _key(message.get("title", role), messages)
            messages[key] = message
        return {"$ref": f"#/channels/{channel}/messages/{key}"}

    def _typed(self, use: Use | Declared) -> Object:
        if use.type is bytes:
            return {"contentType": _BYTES}
        payload = self.schemas[use]
        resolved = self.schemas.resolve(payload)
        message: Object = {"title": resolved["title"]} if "title" in resolved else {}
        message["payload"] = payload
        if "examples" in resolved:
            message["examples"] = [{"payload": example} for example in resolved["examples"]]
        return message

    def _parameter(self, declaration: Declaration, name: str) -> Object:
        schemas = [self.schemas[Use(handler, name)] for handler in handlers_of(declaration)]
        schema: Schema = next((schema for schema in schemas if schema), {})
        resolved = self.schemas.resolve(schema)
        empty = f"{{{name}:path}}" in declaration.pattern.text
        said = "May contain colons, or be empty." if empty else "Contains no colon."
        parameter: Object = {"description": resolved.get("description", said)}
        constants = resolved.get("enum", [resolved["const"]] if "const" in resolved else [])
        for key, values in (("enum", constants), ("examples", resolved.get("examples", []))):
            if values:
                parameter[key] = [value if isinstance(value, str) else to_json(value).decode() for value in values]
        if schema:
            parameter["x-hubbub-schema"] = schema
        return parameter


def _address(pattern: str) -> str:
    """A pattern as AsyncAPI writes it, which does not say what a parameter takes."""
    return pattern.replace(":path}", "}")


def _rules(declaration: Declaration) -> Object:
    """The rules that hold; ``handler`` is who may do something where a function of the app's decides."""
    kind = declaration.kind
    rules: Object = {"type": _TYPES[min(kind.types)], **declaration.rules._asdict()}
    if isinstance(kind, Map | SharedPoll):
        shared = {"type", *(maps.SHARED if isinstance(kind, Map) else polls.SHARED)}
        rules = {name: rule for name, rule in rules.items() if name in shared} | kind.rules._asdict()
    if declaration.on_subscribe is not None:
        rules["may_subscribe"] = "handler"
    if declaration.on_publish is not None:
        rules["may_publish"] = "handler"
    return rules


def _personal(pattern: Pattern, described: str) -> str:
    """What is said of each user's own channel, behind what the app says of it."""
    own = pattern.name({pattern.parameters[0]: "anna"})
    said = f"The server subscribes each user to its own channel as it connects: `anna` to `{own}`."
    return f"{described}\n\n{said}".strip()


def _description(handler: Handler | None) -> Object:
    """The docstring, as far as it is for readers: up to a form feed, as FastAPI has it."""
    text = "" if handler is None else handler.doc.partition("\f")[0].strip()
    return {"description": text} if text else {}


def _key(name: str, taken: Container[str]) -> str:
    """A key made of ``name`` that every tool can read in a reference."""
    stem = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "unnamed"
    key, number = stem, 1
    while key in taken:
        number += 1
        key = f"{stem}_{number}"
    return key

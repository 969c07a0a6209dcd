"""What the HTTP API can do with shared poll channels."""

from hubbub.api.contents import NO_DATA, Content, Empty, Method, find, method
from hubbub.errors import InvalidRequest, NotAvailable
from hubbub.hub.engine import Engine
from hubbub.hub.kinds.shared_poll import SharedPoll
from hubbub.hub.polls.sources import value_of
from hubbub.protocol.publication import Json
from hubbub.protocol.schema import U64


class PublishRequest(Content):
    channel: str = ""
    key: str = ""
    version: U64 = 0
    epoch: str = ""

    unsigned = ("version",)


async def publish(engine: Engine, request: PublishRequest) -> Empty:
    if not request.key or request.version < 1:
        raise InvalidRequest
    declaration = find(engine, request.channel)
    kind = declaration.kind
    if not isinstance(kind, SharedPoll):
        raise InvalidRequest
    if not kind.rules.publish_enabled:
        raise NotAvailable
    empty = request.data is NO_DATA and not request.b64data
    data = Json("null") if empty else request.payload()
    declaration.ensure_carries(data)
    await kind.put(request.channel, value_of(request.key, data, request.version), request.epoch)
    return Empty()


METHODS: dict[str, Method] = {"shared_poll_publish": method(PublishRequest, publish)}

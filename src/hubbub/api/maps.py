"""What the HTTP API can do with map channels."""

from collections.abc import Sequence
from typing import get_args

from msgspec import UNSET, Raw, Struct, UnsetType, field

from hubbub.api.contents import NO_DATA, Content, Empty, Method, Request, find, method
from hubbub.brokers.base import Guard
from hubbub.brokers.maps import Only, Outcome
from hubbub.errors import InvalidRequest, UnrecoverablePosition
from hubbub.hub.engine import Engine
from hubbub.protocol.codecs import JSON
from hubbub.protocol.position import Position
from hubbub.protocol.publication import NO_DATA as NOTHING
from hubbub.protocol.publication import Publication
from hubbub.protocol.schema import I32, I64, U64


class PublishRequest(Content):
    channel: str = ""
    key: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    idempotency_key: str = ""
    delta: bool = False
    version: U64 = 0
    version_epoch: str = ""
    score: I64 = 0
    key_mode: str = ""

    unsigned = ("version",)


class RemoveRequest(Request):
    channel: str = ""
    key: str = ""
    idempotency_key: str = ""


class ChangeResult(Struct, omit_defaults=True):
    offset: int = 0
    epoch: str = ""
    suppressed: bool = False
    suppress_reason: str = ""


class StateRequest(Request):
    channel: str = ""
    cursor: str = ""
    limit: I32 = 0
    key: str = ""
    asc: bool = False
    revision_offset: U64 = 0
    revision_epoch: str = ""

    unsigned = ("revision_offset",)


class StreamRequest(Request):
    channel: str = ""
    since_offset: U64 = 0
    since_epoch: str = ""
    limit: I32 = 0
    reverse: bool = False

    unsigned = ("since_offset",)


class Entry(Struct, omit_defaults=True):
    key: str = ""
    data: Raw | UnsetType = UNSET
    tags: dict[str, str] = field(default_factory=dict)
    offset: int = 0
    removed: bool = False


class EntriesResult(Struct, omit_defaults=True):
    entries: list[Entry] = field(default_factory=list)
    offset: int = 0
    epoch: str = ""
    cursor: str = ""


class ChannelRequest(Request):
    channel: str = ""


class StatsResult(Struct, omit_defaults=True):
    num_keys: int = 0


async def publish(engine: Engine, request: PublishRequest) -> ChangeResult:
    engine.atlas.rules(request.channel)
    only = next((one for one in get_args(Only) if one == request.key_mode != "touch"), None)
    if only is None:
        raise InvalidRequest
    empty = request.data is NO_DATA and not request.b64data
    data = NOTHING if empty else request.payload()
    declaration = find(engine, request.channel)
    declaration.ensure_carries(data)
    declaration.ensured(data)
    entry = Publication(data, key=request.key, tags=request.tags, delta=request.delta)
    guard = Guard(request.idempotency_key, request.version, request.version_epoch)
    return _changed(await engine.atlas.put(request.channel, entry, guard, only))


async def remove(engine: Engine, request: RemoveRequest) -> ChangeResult:
    return _changed(await engine.atlas.remove(request.channel, request.key, Guard(request.idempotency_key)))


def _changed(outcome: Outcome) -> ChangeResult:
    position = outcome.position
    return ChangeResult(position.offset, position.epoch, bool(outcome.suppressed), outcome.suppressed)


async def read_state(engine: Engine, request: StateRequest) -> EntriesResult:
    limit = None if request.limit < 0 else request.limit
    page = await engine.atlas.entries(request.channel, request.cursor, limit, key=request.key)
    if (request.revision_offset or request.revision_epoch) and request.revision_epoch != page.position.epoch:
        raise UnrecoverablePosition
    return EntriesResult(_entries(page.entries), page.position.offset, page.position.epoch, page.cursor)


async def read_stream(engine: Engine, request: StreamRequest) -> EntriesResult:
    limit = None if request.limit < 0 else request.limit
    since = None
    if request.since_offset or request.since_epoch:
        since = Position(request.since_offset, request.since_epoch)
    changes, top = await engine.atlas.changes(request.channel, since, limit, reverse=request.reverse)
    if request.since_epoch not in ("", top.epoch):
        raise UnrecoverablePosition
    return EntriesResult(_entries(changes), *top)


def _entries(publications: Sequence[Publication]) -> list[Entry]:
    return [
        Entry(one.key, JSON.data(one.data) if one.data else UNSET, dict(one.tags), one.offset, one.removed)
        for one in publications
    ]


async def stats(engine: Engine, request: ChannelRequest) -> StatsResult:
    return StatsResult(await engine.atlas.count(request.channel))


async def clear(engine: Engine, request: ChannelRequest) -> Empty:
    await engine.atlas.clear(request.channel)
    return Empty()


METHODS: dict[str, Method] = {
    "map_publish": method(PublishRequest, publish),
    "map_remove": method(RemoveRequest, remove),
    "map_read_state": method(StateRequest, read_state),
    "map_read_stream": method(StreamRequest, read_stream),
    "map_stats": method(ChannelRequest, stats),
    "map_clear": method(ChannelRequest, clear),
}

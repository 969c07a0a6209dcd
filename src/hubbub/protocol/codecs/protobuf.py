"""Protobuf: replies and commands, each behind its length; the schema is that of the message classes."""

from collections.abc import Callable, Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Wire
from google.protobuf.message_factory import GetMessageClass
from msgspec import Raw

from hubbub.protocol.codecs.base import Codec
from hubbub.protocol.codecs.json import JSON
from hubbub.protocol.commands import METHODS, Command, EmulationRequest, SendRequest
from hubbub.protocol.events import Reply
from hubbub.protocol.publication import Payload, from_bytes
from hubbub.protocol.schema import Message

_PACKAGE = "centrifugal.centrifuge.protocol"
_MOST_ITEMS = 8192
"""Of all lists and maps in one command: more than any limit of a hub allows by default, so that no command needs it."""
_SCALARS = {str: "string", bool: "bool", Raw: "bytes"}


class _Schema:
    """Protobuf's own classes for our message classes, made from their annotations."""

    def __init__(self, *roots: type[Message]) -> None:
        self._file = FileDescriptorProto(name="hubbub/client.proto", package=_PACKAGE, syntax="proto3")
        self._known: dict[str, type[Message]] = {}
        for root in roots:
            self._describe(root)
        pool = DescriptorPool()
        pool.Add(self._file)
        self.wire = {
            kind: GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
            for name, kind in self._known.items()
        }
        self._plans = {kind: self._plan(kind) for kind in self.wire}
        self._of = {f"{_PACKAGE}.{name}": kind for name, kind in self._known.items()}
        self._message_readers: dict[type[Message], Callable[[Wire, _Allowance], Any]] = {}

    def _describe(self, kind: type[Message]) -> str:
        if kind.__name__ not in self._known:
            self._known[kind.__name__] = kind
            described = self._file.message_type.add(name=kind.__name__)
            for name, hint in get_type_hints(kind, include_extras=True).items():
                self._field(described, name, hint)
        return f".{_PACKAGE}.{kind.__name__}"

    def _field(self, described: DescriptorProto, name: str, hint: Any) -> None:
        inner, *notes = get_args(hint)
        number = next(note for note in notes if type(note) is int)
        wire_type = next((note for note in notes if type(note) is str), None)
        field = described.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
        if get_origin(inner) in (list, tuple):
            field.label = FieldDescriptorProto.LABEL_REPEATED
            inner = get_args(inner)[0]
        elif get_origin(inner) is dict:
            field.label = FieldDescriptorProto.LABEL_REPEATED
            entry = described.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
            entry.options.map_entry = True
            for number, (part, part_kind) in enumerate(zip(("key", "value"), get_args(inner), strict=True), 1):
                self._field(entry, part, Annotated[part_kind, number])
            field.type = FieldDescriptorProto.TYPE_MESSAGE
            field.type_name = f".{_PACKAGE}.{described.name}.{entry.name}"
            return
        if get_origin(inner) in (Union, UnionType):
            inner = get_args(inner)[0]
        if isinstance(inner, type) and issubclass(inner, Message):
            field.type = FieldDescriptorProto.TYPE_MESSAGE
            field.type_name = self._describe(inner)
        else:
            field.type = FieldDescriptorProto.Type.Value(f"TYPE_{(wire_type or _SCALARS[inner]).upper()}")

    def _plan(self, kind: type[Message]) -> list[tuple[str, Callable[[Wire, Any], None]]]:
        """How each field that is set gets into Protobuf's object."""
        return [(field.name, self._setter(field)) for field in self.wire[kind].DESCRIPTOR.fields]

    def _setter(self, field: Any) -> Callable[[Wire, Any], None]:
        name = field.name
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is None:
                return lambda wire, value: getattr(wire, name).update(value)

            def put_map(wire: Wire, value: dict[str, Message]) -> None:
                entries = getattr(wire, name)
                for key, entry in value.items():
                    self.fill(entries[key], entry)

            return put_map
        if field.message_type is not None and field.is_repeated:

            def put_list(wire: Wire, value: list[Message]) -> None:
                items = getattr(wire, name)
                for item in value:
                    self.fill(items.add(), item)

            return put_list
        if field.message_type is not None:

            def put_message(wire: Wire, value: Message) -> None:
                part = getattr(wire, name)
                part.SetInParent()
                self.fill(part, value)

            return put_message
        if field.is_repeated:
            return lambda wire, value: getattr(wire, name).extend(value)
        if field.type == FieldDescriptorProto.TYPE_BYTES:
            return lambda wire, value: setattr(wire, name, bytes(value))
        return lambda wire, value: setattr(wire, name, value)

    def fill(self, wire: Wire, value: Message) -> None:
        """Copies a message of ours into one of Protobuf's."""
        for name, put in self._plans[type(value)]:
            content = getattr(value, name)
            if content is not None and content is not False and content != 0 and content != "":
                put(wire, content)

    def _reader(self, field: Any) -> Callable[[Any, "_Allowance"], Any] | None:
        """How a field's value becomes one of ours; None where it is one."""
        kind = field.message_type
        if kind is None:
            if field.is_repeated:
                return lambda value, allowance: tuple(allowance.take(value))
            return (lambda value, _: Raw(value)) if field.type == FieldDescriptorProto.TYPE_BYTES else None
        if not kind.GetOptions().map_entry:
            read = self._message_reader(self._of[kind.full_name])
            if not field.is_repeated:
                return read
            return lambda value, allowance: tuple([read(item, allowance) for item in allowance.take(value)])
        item_kind = kind.fields_by_name["value"].message_type
        if item_kind is None:
            return lambda value, allowance: dict(allowance.take(value))
        read_item = self._message_reader(self._of[item_kind.full_name])
        return lambda value, allowance: {key: read_item(item, allowance) for key, item in allowance.take(value).items()}

    def _message_reader(self, kind: type[Message]) -> Callable[[Wire, "_Allowance"], Any]:
        if kind not in self._message_readers:
            readers: dict[int, tuple[str, Callable[[Any, _Allowance], Any] | None]] = {}

            def read(wire: Wire, allowance: _Allowance) -> Any:
                content = {}
                for field, value in wire.ListFields():
                    name, convert = readers[field.number]
                    content[name] = value if convert is None else convert(value, allowance)
                return kind(**content)

            self._message_readers[kind] = read  # first, since messages hold others of their own kind
            for field in self.wire[kind].DESCRIPTOR.fields:
                readers[field.number] = field.name, self._reader(field)
        return self._message_readers[kind]

    def read(self, wire: Wire) -> Any:
        """A message of ours with what one of Protobuf's holds.

        Raises:
            ValueError: it holds too much.
        """
        return self._message_reader(self._of[wire.DESCRIPTOR.full_name])(wire, _Allowance())


class _Allowance:
    """How many items lists and maps of one command may hold together. Each takes about a microsecond to read."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _MOST_ITEMS

    def take(self, items: Any) -> Any:
        """These items.

        Raises:
            ValueError: they are more than are left.
        """
        self._left -= len(items)
        if self._left < 0:
            raise ValueError(f"a command holds more than {_MOST_ITEMS} items")
        return items


_schema = _Schema(Command, Reply, EmulationRequest)
_Command, _Reply, _Emulation = (_schema.wire[kind] for kind in (Command, Reply, EmulationRequest))


class ProtobufCodec(Codec):
    """The Protobuf encoding: data is any bytes."""

    name = "protobuf"
    binary = True
    ping = b"\x00"

    def split(self, data: Payload) -> Iterator[Payload]:
        data = data.encode() if isinstance(data, str) else data
        at = 0
        while at < len(data) or not at:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise ValueError("a message is cut off")
            yield data[at : at + size]
            at += size

    def decode(self, command: Payload) -> Command:
        fields = {field.name: value for field, value in _parse(_Command, command).ListFields()}
        read = Command(fields.get("id", 0))
        counts = next((method for method in METHODS if method in fields), None)
        if counts is not None:
            setattr(read, counts, _schema.read(fields[counts]))
        if "send" in fields and read.send is None:
            read.send = SendRequest()  # it shows that this is no pong, and nobody looks into it
        return read

    def decode_emulation(self, data: bytes) -> EmulationRequest:
        return _schema.read(_parse(_Emulation, data))  # type: ignore[no-any-return]

    def encode(self, reply: Reply) -> bytes:
        wire = _Reply()
        _schema.fill(wire, reply)
        encoded = wire.SerializeToString(deterministic=True)
        return _length(len(encoded)) + encoded

    def join(self, replies: Sequence[Payload]) -> Payload:
        return replies[0] if len(replies) == 1 else b"".join(replies)  # type: ignore[arg-type]

    def data(self, payload: Payload) -> Raw:
        return Raw(payload) if isinstance(payload, bytes) else JSON.data(payload)

    def embed(self, data: bytes) -> Raw:
        return Raw(data)

    def payload(self, data: Raw) -> Payload:
        return from_bytes(bytes(data))


def _parse(kind: type[Wire], data: Payload) -> Wire:
    wire = kind()
    try:
        wire.ParseFromString(data)  # type: ignore[arg-type]
    except DecodeError as error:
        raise ValueError(str(error)) from None
    return wire


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number of at most 32 bits, and where it ends."""
    value = shift = 0
    while shift < 35:
        if at >= len(data):
            raise ValueError("a length is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a length is too long")


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes((size,))
    parts = bytearray()
    while size >= 0x80:
        parts.append(size & 0x7F | 0x80)
        size >>= 7
    parts.append(size)
    return bytes(parts)


PROTOBUF = ProtobufCodec()

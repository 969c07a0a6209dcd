"""What fits into the fields of the HTTP API: of each type what it has room for, and nothing else."""

import json
from typing import Any

import pytest

from hubbub.api.methods import METHODS, decode

TEXT, BOOL, TEXTS, TAGS = "text", "bool", "texts", "tags"
U32, U64, I32, I64 = "u32", "u64", "i32", "i64"
JSON = "json"

PUBLISH = {
    "data": JSON, "b64data": TEXT, "skip_history": BOOL, "tags": TAGS, "idempotency_key": TEXT, "delta": BOOL,
    "version": U64, "version_epoch": TEXT,
}  # fmt: skip
SESSIONS = {"user": TEXT, "client": TEXT, "session": TEXT}
FLAGS = ("presence", "join_leave", "force_push_join_leave", "force_recovery", "force_positioning")

FIELDS: dict[str, dict[str, str]] = {
    "publish": {"channel": TEXT, **PUBLISH},
    "broadcast": {"channels": TEXTS, **PUBLISH},
    "subscribe": {
        **SESSIONS,
        "channel": TEXT,
        "info": JSON,
        "b64info": TEXT,
        "data": JSON,
        "b64data": TEXT,
        "expire_at": I64,
        "recover_since.offset": U64,
        "recover_since.epoch": TEXT,
        **{f"override.{flag}.value": BOOL for flag in FLAGS},
    },
    "unsubscribe": {**SESSIONS, "channel": TEXT},
    "disconnect": {**SESSIONS, "whitelist": TEXTS, "disconnect.code": U32, "disconnect.reason": TEXT},
    "refresh": {**SESSIONS, "expired": BOOL, "expire_at": I64, "info": JSON},
    "presence": {"channel": TEXT},
    "presence_stats": {"channel": TEXT},
    "history": {"channel": TEXT, "limit": I32, "since.offset": U64, "since.epoch": TEXT, "reverse": BOOL},
    "history_remove": {"channel": TEXT},
    "channels": {"pattern": TEXT},
    "info": {},
    "rpc": {"method": TEXT, "params": JSON},
    "map_publish": {
        "channel": TEXT, "key": TEXT, "data": JSON, "b64data": TEXT, "tags": TAGS, "idempotency_key": TEXT,
        "delta": BOOL, "version": U64, "version_epoch": TEXT, "score": I64, "key_mode": TEXT,
    },
    "map_remove": {"channel": TEXT, "key": TEXT, "idempotency_key": TEXT},
    "map_read_state": {
        "channel": TEXT, "cursor": TEXT, "limit": I32, "key": TEXT, "asc": BOOL, "revision_offset": U64,
        "revision_epoch": TEXT,
    },
    "map_read_stream": {
        "channel": TEXT, "since_offset": U64, "since_epoch": TEXT, "limit": I32, "reverse": BOOL,
    },
    "map_stats": {"channel": TEXT},
    "map_clear": {"channel": TEXT},
    "shared_poll_publish": {
        "channel": TEXT, "key": TEXT, "data": JSON, "b64data": TEXT, "version": U64, "epoch": TEXT,
    },
}  # fmt: skip
"""By method, the type of each field; a dot leads into an object."""

NUMBERS = {U32: (0, 2**32 - 1), U64: (0, 2**64 - 1), I32: (-(2**31), 2**31 - 1), I64: (-(2**63), 2**63 - 1)}
NO_NUMBER = ("1.5", "1.0", "1e3", "true", '"1"', "[]", "{}")
RIGHT: dict[str, tuple[str, ...]] = {
    TEXT: ('""', '"x"', "null"),
    BOOL: ("true", "false", "null"),
    TEXTS: ("[]", '["x","y"]', "null"),
    TAGS: ("{}", '{"a":"b"}', "null"),
    JSON: ("null", "1.5", '"x"', "[1]", "{}"),
    **{kind: (*map(str, (least, most, 0)), "null") for kind, (least, most) in NUMBERS.items()},
}
WRONG: dict[str, tuple[str, ...]] = {
    TEXT: ("1", "true", "[]", "{}"),
    BOOL: ("1", "0", '"true"', "[]", "{}"),
    TEXTS: ("1", '"x"', "{}", "[1]"),
    TAGS: ("1", '"x"', "[]", '{"a":1}', '{"a":true}'),
    JSON: ("01", "x", "[1"),
    **{kind: (str(least - 1), str(most + 1), *NO_NUMBER) for kind, (least, most) in NUMBERS.items()},
}
CASES = [
    (method, field, value, right)
    for method, fields in FIELDS.items()
    for field, kind in fields.items()
    for values, right in ((RIGHT, True), (WRONG, False))
    for value in values[kind]
]


def body(field: str, value: str) -> bytes:
    """A request with this field alone."""
    for name in reversed(field.split(".")):
        value = f"{{{json.dumps(name)}:{value}}}"
    return value.encode()


@pytest.mark.parametrize(("method", "field", "value", "right"), CASES)
def test_a_field_takes_what_it_has_room_for_and_nothing_else(method: str, field: str, value: str, right: bool) -> None:
    if right:
        decode(method, body(field, value))
    else:
        with pytest.raises(ValueError, match=r"."):
            decode(method, body(field, value))


def test_every_method_and_every_field_is_in_the_table() -> None:
    assert FIELDS.keys() == METHODS.keys()
    for method, fields in FIELDS.items():
        request: Any = decode(method, b"{}")
        assert {field.partition(".")[0] for field in fields} == set(request.__struct_fields__)

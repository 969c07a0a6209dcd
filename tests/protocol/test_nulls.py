"""A null where a value belongs counts as absent; what the app wrote stays as it is."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.protocol.commands import (
    Command,
    ConnectRequest,
    FilterNode,
    HistoryRequest,
    PublishRequest,
    SubscribeRequest,
)
from hubbub.protocol.nulls import read

COMMAND = msgspec.json.Decoder(Command)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('{"id":null,"send":null}', Command()),
        ('{"id":1,"connect":{"token":null}}', Command(1, connect=ConnectRequest())),
        (' {"id":1, "history":{"channel":"c","limit":null,"since":null}}', Command(1, history=HistoryRequest("c"))),
        (
            '{"id":1,"connect":{"subs":{"a":{"epoch":null,"offset":7},"b":null}}}',
            Command(1, connect=ConnectRequest(subs={"a": SubscribeRequest(offset=7)})),
        ),
    ],
)
def test_a_null_where_a_value_belongs_counts_as_absent(text: str, command: Command) -> None:
    assert read(COMMAND, text) == command
    assert read(COMMAND, text.encode()) == command


class Nested(msgspec.Struct):
    n: int = 0
    inner: "Nested | None" = None


def test_nulls_are_looked_for_as_deep_as_requests_go_and_no_deeper() -> None:
    filtered = '{"id":1,"connect":{"subs":{"a":{"tf":{"key":"k","val":null}}}}}'
    subscribe = SubscribeRequest(tf=FilterNode(key="k"))
    assert read(COMMAND, filtered) == Command(1, connect=ConnectRequest(subs={"a": subscribe}))
    decoder = msgspec.json.Decoder(Nested)
    assert read(decoder, '{"inner":' * 4 + '{"n":null}' + "}" * 4) is not None
    with pytest.raises(ValueError, match="got `null`"):
        read(decoder, '{"inner":' * 5 + '{"n":null}' + "}" * 5)


@pytest.mark.parametrize("data", ["null", '{"a":null}', '[{"a":null}]', '{ "b" : {"c": null, "d":1e400} }'])
def test_data_keeps_its_nulls_and_its_spelling(data: str) -> None:
    text = f'{{"id":1,"publish":{{"channel":"c","key":null,"data":{data}}}}}'
    assert read(COMMAND, text) == Command(1, publish=PublishRequest("c", msgspec.Raw(data.encode())))


@pytest.mark.parametrize("text", ["", "null", "[null]", "{", '{"id":"1"}', '{"id":1,"publish":{"channel":7}}', "7"])
def test_what_is_wrong_stays_wrong(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(COMMAND, text)


@pytest.mark.parametrize("text", ['{"id":null,"x":' + '{"a":' * 50_000, '{"x":' + "[" * 50_000 + "]" * 50_000 + "}"])
def test_what_is_nested_too_deeply_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(COMMAND, text)


def test_nulls_are_looked_for_among_a_bounded_number_of_members() -> None:
    def subs(count: int) -> str:
        others = ",".join(f'"{n}":{{}}' for n in range(count))
        return '{"id":1,"connect":{"token":null,"subs":{"a":null,' + others + "}}}"

    assert read(COMMAND, subs(4091)).connect is not None
    with pytest.raises(ValueError, match="more than 4096 members"):
        read(COMMAND, subs(4092))


@given(st.text(max_size=30) | st.binary(max_size=30))
def test_nothing_raises_anything_else(text: str | bytes) -> None:
    try:
        read(COMMAND, text)
    except ValueError:
        return

r"""Half a surrogate pair, such as ``"\ud83d"``, spoils nothing: data keeps it as it came, text has U+FFFD instead."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from hubbub.protocol.commands import (
    Command,
    ConnectRequest,
    FilterNode,
    PublishRequest,
    RPCRequest,
    SubRefreshRequest,
    SubscribeRequest,
)
from hubbub.protocol.halves import read, without_halves
from hubbub.protocol.nulls import read as read_nulls

COMMAND = msgspec.json.Decoder(Command)
HALF = r"\ud83d"
PAIR = r"\ud83d\ude00"


@pytest.mark.parametrize(
    "data",
    [
        f'"{HALF}"',
        r'"\uDE00"',
        f'{{"cut {HALF}": ["{HALF}", "{PAIR}", "\\\\ud83d", "{HALF}{PAIR}"]}}',
        f'"{HALF}{HALF}\\ude00\\ude00"',
        f'"{HALF}\\u0041"',
        f'"{HALF}\\n"',
    ],
)
def test_data_keeps_the_half_as_it_came(data: str) -> None:
    text = f'{{"id":1,"publish":{{"channel":"c","data":{data}}}}}'
    for form in (text, text.encode()):
        assert read_nulls(COMMAND, form) == Command(1, publish=PublishRequest("c", Raw(data.encode())))


def test_text_has_the_replacement_character_wherever_it_is() -> None:
    text = f'{{"id":1,"rpc":{{"method":"a{HALF}b{PAIR}{HALF}"}}}}'
    assert read_nulls(COMMAND, text) == Command(1, rpc=RPCRequest(method="a\ufffdb\U0001f600\ufffd"))
    text = f'{{"id":1,"sub_refresh":{{"channel":"c","untrack":["{HALF}","k"]}}}}'
    assert read_nulls(COMMAND, text) == Command(1, sub_refresh=SubRefreshRequest("c", untrack=("\ufffd", "k")))
    subscribe = f'{{"tf":{{"key":"{HALF}","val":null}}}}'
    text = f'{{"id":1,"connect":{{"subs":{{"{HALF}":{subscribe}}},"headers":{{"h":"{HALF}"}}}}}}'
    subs = {"\ufffd": SubscribeRequest(tf=FilterNode(key="\ufffd"))}
    assert read_nulls(COMMAND, text) == Command(1, connect=ConnectRequest(subs=subs, headers={"h": "\ufffd"}))


def test_halves_are_looked_for_in_a_bounded_number_of_items() -> None:
    def subs(count: int) -> str:
        others = ",".join(f'"{n}":{{}}' for n in range(count))
        return f'{{"id":1,"connect":{{"token":"{HALF}","subs":{{{others}}}}}}}'

    assert read_nulls(COMMAND, subs(2048)).connect is not None
    with pytest.raises(ValueError, match="more than 2048 items"):
        read_nulls(COMMAND, subs(2049))


@pytest.mark.parametrize(
    "text",
    [
        f'{{"id":1,"rpc":{{"method":"{HALF}"',
        f'{{"id":1,"rpc":{{"data":{HALF}}}}}',
        f'{{"id":1,"rpc":{{"data":1{HALF}}}}}',
        f'{{"id":"{HALF}"}}',
        r'{"id":1,"rpc":{"method":"\ud83"}}',
        r'{"id":1,"rpc":{"method":"\ud83d\x"}}',
        f'{{"id":1,"rpc":{{"method":"{HALF}\0\0"}}}}',
    ],
)
def test_what_is_wrong_besides_stays_wrong(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_nulls(COMMAND, text)


@given(st.lists(st.sampled_from([HALF, r"\uDC00", PAIR, r"\\", r"\"", "u", "d83d", "\\u0041", "é", "~"]), max_size=12))
def test_data_comes_out_as_it_went_in_and_text_is_what_others_read(parts: list[str]) -> None:
    text = '"' + "".join(parts) + '"'
    assert bytes(read(msgspec.json.Decoder(Raw).decode, text)) == text.encode()
    replaced = json.loads(text).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert read(msgspec.json.Decoder(str).decode, text) == replaced
    assert msgspec.json.decode(without_halves(text)) == replaced

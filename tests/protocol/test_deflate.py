"""permessage-deflate: what is negotiated, and that independent peers read what is compressed."""

import json
import random
import re
import time
import tracemalloc
import zlib
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
)
from websockets.frames import Frame, Opcode

from hubbub.protocol.deflate import LEAST_WORTH_COMPRESSING, Deflate, negotiate

OURS = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
TAIL = b"\x00\x00\xff\xff"
JSON = json.dumps([{"user": f"user {n * n}", "text": "lorem ipsum dolor", "at": n * 1e9} for n in range(5000)]).encode()
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def squeeze(payload: bytes, *, level: int = 6, window_bits: int = 15, flush: int = zlib.Z_SYNC_FLUSH) -> bytes:
    """What a client that keeps to RFC 7692 7.2.1 sends."""
    compressor = zlib.compressobj(level, wbits=-window_bits)
    squeezed = compressor.compress(payload) + compressor.flush(flush)
    assert squeezed.endswith(TAIL)
    return squeezed[:-4]


# --- negotiation ----------------------------------------------------------------------------------------

ACCEPTED = {
    "the bare offer": (["permessage-deflate"], OURS, 15),
    "what browsers send": (["permessage-deflate; client_max_window_bits"], OURS, 15),
    "both flags": (
        ["permessage-deflate; client_no_context_takeover; server_no_context_takeover"],
        OURS,
        15,
    ),
    "a window for the server": (
        ["permessage-deflate; server_max_window_bits=10"],
        f"{OURS}; server_max_window_bits=10",
        10,
    ),
    "a window for the client": (
        ["permessage-deflate; client_max_window_bits=8"],
        f"{OURS}; client_max_window_bits=8",
        15,
    ),
    "windows for both": (
        ["permessage-deflate; client_max_window_bits=12; server_max_window_bits=9"],
        f"{OURS}; client_max_window_bits=12; server_max_window_bits=9",
        9,
    ),
    "a quoted value": (
        ['permessage-deflate; server_max_window_bits="11"'],
        f"{OURS}; server_max_window_bits=11",
        11,
    ),
    "a quoted value with an escape": (
        ['permessage-deflate; server_max_window_bits="1\\1"'],
        f"{OURS}; server_max_window_bits=11",
        11,
    ),
    "white space anywhere": (
        [" \tpermessage-deflate ;\tserver_max_window_bits = 15 ; client_max_window_bits "],
        f"{OURS}; server_max_window_bits=15",
        15,
    ),
    "another extension first": (["x-webkit-deflate-frame, permessage-deflate"], OURS, 15),
    "an unknown parameter, then a fallback": (
        ["permessage-deflate; shiny, permessage-deflate; server_max_window_bits=13, permessage-deflate"],
        f"{OURS}; server_max_window_bits=13",
        13,
    ),
    "a window that zlib has not, then a fallback": (
        ["permessage-deflate; server_max_window_bits=8, permessage-deflate"],
        OURS,
        15,
    ),
    "a fallback in the next header": (["permessage-deflate; shiny", "permessage-deflate"], OURS, 15),
    "a comma in a quoted value is no separator": (
        ['other; a="x, permessage-deflate; server_max_window_bits=9", permessage-deflate'],
        OURS,
        15,
    ),
    "a quote in a quoted value does not end it": (
        ['other; a="\\", permessage-deflate; server_max_window_bits=9", permessage-deflate'],
        OURS,
        15,
    ),
    "an empty element": ([", permessage-deflate"], OURS, 15),
}

DECLINED = {
    "no header": [],
    "an empty header": [""],
    "another extension": ["permessage-bzip2"],
    "another extension whose name begins alike": ["permessage-deflate2"],
    "no name": ["; server_max_window_bits=9"],
    "an unknown parameter": ["permessage-deflate; shiny"],
    "an unknown parameter with a value": ["permessage-deflate; shiny=10"],
    "a duplicate flag": ["permessage-deflate; client_no_context_takeover; client_no_context_takeover"],
    "a duplicate value": ["permessage-deflate; server_max_window_bits=10; server_max_window_bits=10"],
    "a flag with a value": ["permessage-deflate; server_no_context_takeover=true"],
    "a flag with an empty value": ['permessage-deflate; client_no_context_takeover=""'],
    "a server window without value": ["permessage-deflate; server_max_window_bits"],
    "a server window that zlib has not": ["permessage-deflate; server_max_window_bits=8"],
    "a window too small": ["permessage-deflate; client_max_window_bits=7"],
    "a window too large": ["permessage-deflate; server_max_window_bits=16"],
    "a leading zero": ["permessage-deflate; server_max_window_bits=09"],
    "no number": ["permessage-deflate; client_max_window_bits=ten"],
    "digits that are not ASCII": ["permessage-deflate; server_max_window_bits=١٠"],
    "a sign": ["permessage-deflate; server_max_window_bits=+10"],
    "an empty value": ["permessage-deflate; server_max_window_bits="],
    "an empty parameter": ["permessage-deflate;"],
    "no semicolon": ["permessage-deflate server_no_context_takeover"],
    "text after a value": ["permessage-deflate; server_max_window_bits=10 11"],
    "a quote that does not end": ['permessage-deflate; server_max_window_bits="10, permessage-deflate'],
    "a quote that ends in an escape": ['permessage-deflate; server_max_window_bits="10\\'],
}


@pytest.mark.parametrize(("headers", "answer", "window_bits"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_the_first_acceptable_offer_is_answered(headers: list[str], answer: str, window_bits: int) -> None:
    negotiated = negotiate(headers)
    assert negotiated is not None
    assert negotiated == (answer, Deflate(window_bits))


@pytest.mark.parametrize("headers", DECLINED.values(), ids=DECLINED.keys())
def test_offers_that_cannot_be_kept_are_declined(headers: list[str]) -> None:
    assert negotiate(headers) is None


@pytest.mark.parametrize("server_bits", [None, *range(9, 16)])
@pytest.mark.parametrize("client_bits", [None, True, 9, 15])
@pytest.mark.parametrize("no_takeover", [True, False])
def test_an_independent_client_accepts_every_answer(
    server_bits: int | None, client_bits: int | bool | None, no_takeover: bool
) -> None:
    factory = ClientPerMessageDeflateFactory(no_takeover, no_takeover, server_bits, client_bits)
    offer = "permessage-deflate" + "".join(
        f"; {name}" if value is None else f"; {name}={value}" for name, value in factory.get_request_params()
    )
    negotiated = negotiate([offer])
    assert negotiated is not None
    answer, deflate = negotiated
    parameters = [
        (name, value if equals else None)
        for name, equals, value in (part.strip().partition("=") for part in answer.split(";")[1:])
    ]
    client = factory.process_response_params(parameters, [])
    assert client.remote_no_context_takeover
    assert client.local_no_context_takeover
    assert client.remote_max_window_bits == (server_bits or 15) == deflate.window_bits


def test_equal_settings_are_one_object_and_one_key() -> None:
    first = negotiate(["permessage-deflate; server_max_window_bits=12"])
    second = negotiate(["permessage-deflate; client_max_window_bits; server_max_window_bits=12"])
    assert first is not None
    assert second is not None
    assert first[1] is second[1]
    assert {Deflate(12), first[1], Deflate()} == {Deflate(12), Deflate(15)}
    assert not hasattr(first[1], "__dict__")


@given(st.text('permsag-dflt;=", \\08915_x', max_size=60))
def test_no_header_raises(value: str) -> None:
    negotiate([value, f"permessage-deflate;{value}"])


@pytest.mark.parametrize("unit", ['"', '"\\', '\\"', ",", ";", 'a;b="', "a=", " ", '"\\"'])
def test_a_hostile_header_is_read_once(unit: str) -> None:
    start = time.process_time()
    negotiate([unit * 100_000, f"permessage-deflate; {unit * 100_000}"])
    assert time.process_time() - start < 2  # reading it again at each quote would take minutes


# --- compression ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window_bits", range(9, 16))
@pytest.mark.parametrize("size", [128, 129, 511, 512, 513, 600, 5000, 32_768, 200_000])
def test_a_receiver_with_just_the_window_it_offered_reads_the_message(window_bits: int, size: int) -> None:
    payload = JSON[:size]
    squeezed = Deflate(window_bits).compress(payload)
    assert squeezed is not None
    assert len(squeezed) < size
    assert zlib.decompressobj(-window_bits).decompress(squeezed + TAIL) == payload


@pytest.mark.parametrize("size", [200, 256, 500, 512, 513, 1024, 4000, 16_000])
def test_a_window_cut_to_the_message_costs_no_compression(size: int) -> None:
    noise = random.Random(size).randbytes(80)
    far_apart = noise + bytes(size - 160) + noise
    for payload in (far_apart, JSON[:size]):
        squeezed = Deflate().compress(payload)
        assert squeezed is not None
        assert len(squeezed) <= len(squeeze(payload, level=4)) + 1


def test_short_payloads_are_left_alone() -> None:
    assert Deflate().compress(b"x" * (LEAST_WORTH_COMPRESSING - 1)) is None
    assert Deflate().compress(b"x" * LEAST_WORTH_COMPRESSING) is not None


def test_payloads_that_do_not_shrink_are_left_alone() -> None:
    assert Deflate().compress(random.Random(1).randbytes(5000)) is None


def test_equal_payloads_give_equal_bytes_whatever_came_before() -> None:
    deflate = Deflate()
    first = deflate.compress(JSON[:1000])
    deflate.compress(JSON[1000:3000])
    assert deflate.compress(JSON[:1000]) == first


# --- decompression ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("window_bits", [9, 15])
@pytest.mark.parametrize("flush", [zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH])
def test_whatever_a_client_compresses_is_read(level: int, window_bits: int, flush: int) -> None:
    for payload in (b"", b"x", JSON[:1000], JSON):
        data = squeeze(payload, level=level, window_bits=window_bits, flush=flush)
        assert Deflate(9).decompress(data, len(payload)) == payload


def test_the_examples_of_the_specification_are_read() -> None:
    """RFC 7692 7.2.3."""
    examples = [
        "f2 48 cd c9 c9 07 00",  # one block
        "00 05 00 fa ff 48 65 6c 6c 6f 00",  # a block without compression
        "f3 48 cd c9 c9 07 00 00",  # a block marked as final, and an empty one
        "f2 48 05 00 00 00 ff ff ca c9 c9 07 00",  # two blocks
    ]
    for example in examples:
        assert Deflate().decompress(bytes.fromhex(example), 5) == b"Hello"
    assert Deflate().decompress(b"\x00", 0) == b""


def test_a_final_block_without_the_empty_one_after_it_is_read() -> None:
    compressor = zlib.compressobj(wbits=-15)
    assert Deflate().decompress(compressor.compress(b"Hello") + compressor.flush(), 5) == b"Hello"


def test_an_empty_payload_is_an_empty_message() -> None:
    assert Deflate().decompress(b"", 0) == b""


def test_a_result_of_more_than_the_limit_stops_one_byte_after_it() -> None:
    bomb = squeeze(bytes(100_000_000))
    tracemalloc.start()
    assert len(Deflate().decompress(bomb, 10_000)) == 10_001
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    assert len(Deflate().decompress(squeeze(b"x"), 0)) == 1


CORRUPT = {
    "no deflate data": b"\xff\xff\xff\xff",
    "a distance that leads before the message": b"\x4a\x04\x42\x00\x12" + b"\x03" * 8,
    "data after the final block": b"\xf3\x48\xcd\xc9\xc9\x07\x00" + squeeze(b"more"),
    "the tail that should have been taken off": squeeze(b"Hello") + TAIL,
}


@pytest.mark.parametrize("data", CORRUPT.values(), ids=CORRUPT.keys())
def test_corrupt_data_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=re.compile(".")):
        Deflate().decompress(data, 1000)


@pytest.mark.parametrize("missing", range(1, 7))
def test_a_message_cut_short_is_not_taken_for_the_whole(missing: int) -> None:
    with pytest.raises(ValueError, match=re.compile(".")):
        Deflate().decompress(bytes.fromhex("f2 48 cd c9 c9 07 00")[:-missing], 1000)


@unhurried
@given(st.binary(max_size=200), st.integers(0, 300))
def test_no_data_raises_anything_else_or_exceeds_the_limit(data: bytes, max_size: int) -> None:
    try:
        message = Deflate().decompress(data, max_size)
    except ValueError:
        return
    assert len(message) <= max_size + 1


@unhurried
@given(st.binary(max_size=3000), st.sampled_from([0, 1, 6, 9]), st.sampled_from([1, 4, 9]))
def test_no_setting_of_zlib_exceeds_the_bound(payload: bytes, level: int, memory: int) -> None:
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15, memory)
    assert len(compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)) <= Deflate().bound(len(payload))


# --- both ways, with an independent peer ----------------------------------------------------------------

PAYLOADS = st.one_of(
    st.binary(max_size=2000),
    st.builds(lambda start, size: JSON[start : start + size], st.integers(0, 5000), st.integers(0, 20_000)),
)


@unhurried
@given(st.lists(PAYLOADS, min_size=1, max_size=4), st.integers(9, 15), st.lists(st.integers(0, 2000), max_size=3))
def test_messages_survive_the_way_to_and_from_an_independent_peer(
    payloads: list[bytes], window_bits: int, cuts: list[int]
) -> None:
    peer = PerMessageDeflate(True, True, window_bits, 15)
    deflate = Deflate(window_bits)
    for payload in payloads:
        squeezed = deflate.compress(payload)
        if squeezed is not None:
            assert bytes(peer.decode(Frame(Opcode.BINARY, squeezed, rsv1=True)).data) == payload
        places = [0, *sorted(min(place, len(payload)) for place in cuts), len(payload)]
        data = b""
        for number, (start, stop) in enumerate(pairwise(places)):
            last = number == len(places) - 2
            opcode = Opcode.CONT if number else Opcode.BINARY
            data += bytes(peer.encode(Frame(opcode, payload[start:stop], fin=last)).data)
        assert deflate.decompress(data, len(payload)) == payload

"""RFC 6455: what a client may send, what it may not, and what a client reads of what is written."""

import gc
import importlib.util
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.protocol.peer import as_client_reads, client_frame, message
from websockets.extensions.permessage_deflate import PerMessageDeflate

from hubbub.errors import UsageError
from hubbub.protocol import frames
from hubbub.protocol.deflate import Deflate
from hubbub.protocol.frames import (
    Close,
    Event,
    Fault,
    FrameParser,
    Ping,
    Pong,
    binary_frame,
    close_frame,
    ping_frame,
    pong_frame,
    text_frame,
)

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
RSV1, RSV2, RSV3 = 4, 2, 1
LIMIT = 100_000
SIZES = [0, 1, 3, 4, 5, 125, 126, 127, 65_535, 65_536, 70_001]


def parse(data: bytes, *, max_size: int = LIMIT, deflate: Deflate | None = None) -> list[Event]:
    return FrameParser(max_size, deflate).receive_data(data)


def parse_pieces(pieces: list[bytes], parser: FrameParser | None = None) -> list[Event]:
    parser = parser or FrameParser(LIMIT)
    return [event for piece in pieces for event in parser.receive_data(piece)]


def single_bytes(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def squeeze(payload: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def code_of(events: list[Event]) -> int:
    """The close code of a stream that must end in a fault, and in nothing else of the kind."""
    assert events
    assert isinstance(events[-1], Fault), events
    assert not any(isinstance(event, Fault | Close) for event in events[:-1])
    assert events[-1].reason
    return events[-1].code


# --- messages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_text_arrives_as_str_and_binary_as_bytes(size: int) -> None:
    payload = b"x" * size
    stream = client_frame(TEXT, payload) + client_frame(BINARY, payload)
    assert parse(stream) == [payload.decode(), payload]
    assert parse_pieces([stream[: size // 2], stream[size // 2 :]]) == [payload.decode(), payload]


def test_many_messages_in_one_piece_arrive_in_order() -> None:
    stream = b"".join(client_frame(TEXT, f"message {n}".encode()) for n in range(100))
    assert parse(stream) == [f"message {n}" for n in range(100)]


def test_fragments_are_joined_and_control_frames_between_them_come_first() -> None:
    stream = (
        client_frame(TEXT, b"one ", fin=False)
        + client_frame(PING, b"still there?")
        + client_frame(CONTINUATION, b"", fin=False)
        + client_frame(PONG)
        + client_frame(CONTINUATION, b"two")
        + client_frame(TEXT, b"three")
    )
    expected = [Ping(b"still there?"), Pong(b""), "one two", "three"]
    assert parse(stream) == expected
    assert parse_pieces(single_bytes(stream)) == expected


def test_a_character_may_be_cut_by_a_fragment_and_by_a_piece() -> None:
    euro = "€".encode()
    stream = message(TEXT, [euro[:1], euro[1:2], euro[2:] + euro])
    assert parse(stream) == ["€€"]
    assert parse_pieces(single_bytes(stream)) == ["€€"]


def test_close_carries_code_and_reason() -> None:
    assert parse(client_frame(CLOSE)) == [Close(1005, "")]
    assert parse(client_frame(CLOSE, b"\x03\xe8")) == [Close(1000, "")]
    assert parse(client_frame(CLOSE, b"\x03\xe9" + "au revoir é".encode())) == [Close(1001, "au revoir é")]


@pytest.mark.parametrize("last", [client_frame(CLOSE), client_frame(0x3)])
def test_all_data_after_the_end_is_ignored(last: bytes) -> None:
    parser = FrameParser(LIMIT)
    assert len(parser.receive_data(last + client_frame(TEXT, b"late"))) == 1
    assert parser.receive_data(client_frame(TEXT, b"later")) == []
    assert parser.receive_data(b"\xff" * 20) == []


def test_no_data_is_no_event() -> None:
    parser = FrameParser(LIMIT)
    assert parser.receive_data(b"") == []
    header, payload = client_frame(TEXT, b"text")[:3], client_frame(TEXT, b"text")[3:]
    assert parse_pieces([header, b"", payload, b""], parser) == ["text"]


# --- violations -------------------------------------------------------------------------------------

VIOLATIONS = {
    "reserved bit 1 without compression": (client_frame(TEXT, b"x", reserved=RSV1), 1002),
    "reserved bit 2": (client_frame(TEXT, b"x", reserved=RSV2), 1002),
    "reserved bit 3": (client_frame(BINARY, b"x", reserved=RSV3), 1002),
    "reserved bit on a control frame": (client_frame(PING, b"x", reserved=RSV1), 1002),
    "reserved data opcode": (client_frame(0x3, b"x"), 1002),
    "reserved control opcode": (client_frame(0xB, b"x"), 1002),
    "unmasked text": (b"\x81\x05Hello", 1002),
    "unmasked binary of medium size": (b"\x82\x7e\x01\x00" + b"x" * 256, 1002),
    "unmasked ping": (b"\x89\x00", 1002),
    "fragmented ping": (client_frame(PING, b"x", fin=False), 1002),
    "fragmented close": (client_frame(CLOSE, fin=False), 1002),
    "control frame of 126 bytes": (client_frame(PING, b"x" * 126), 1002),
    "continuation of nothing": (client_frame(CONTINUATION, b"x"), 1002),
    "continuation after a whole message": (message(TEXT, [b"a", b"b"]) + client_frame(CONTINUATION), 1002),
    "text within a message": (client_frame(TEXT, fin=False) + client_frame(TEXT, b"x"), 1002),
    "binary within a message": (client_frame(TEXT, fin=False) + client_frame(BINARY, b"x"), 1002),
    "16-bit length for a short payload": (client_frame(TEXT, b"x" * 125, length=b"\x7e\x00\x7d"), 1002),
    "64-bit length for a medium payload": (
        client_frame(TEXT, b"x" * 65_535, length=b"\x7f" + (65_535).to_bytes(8, "big")),
        1002,
    ),
    "length of 64 bits": (client_frame(TEXT, length=b"\x7f" + b"\xff" * 8), 1002),
    "close payload of one byte": (client_frame(CLOSE, b"\x03"), 1002),
    "text that is not UTF-8": (client_frame(TEXT, b"\xff"), 1007),
    "text that ends within a character": (client_frame(TEXT, b"\xe2\x82"), 1007),
    "fragments that end within a character": (message(TEXT, [b"\xe2", b"\x82"]), 1007),
    "text with a surrogate": (client_frame(TEXT, b"\xed\xa0\x80"), 1007),
    "text with an overlong character": (client_frame(TEXT, b"\xc0\xaf"), 1007),
    "close reason that is not UTF-8": (client_frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "text over the limit": (client_frame(TEXT, b"x" * (LIMIT + 1)), 1009),
    "binary over the limit": (client_frame(BINARY, b"x" * (LIMIT + 1)), 1009),
    "fragments over the limit": (message(BINARY, [b"x" * 60_000, b"x" * 40_001]), 1009),
}


@pytest.mark.parametrize(("stream", "code"), VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_a_violation_ends_the_stream_with_its_code(stream: bytes, code: int) -> None:
    before, after = client_frame(TEXT, b"before"), client_frame(TEXT, b"after")
    whole = parse(before + stream + after)
    assert whole[0] == "before"
    assert code_of(whole) == code
    pieces = parse_pieces(single_bytes(before + stream + after))
    assert pieces == whole


@pytest.mark.parametrize("code", [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_close_codes_in_use_are_accepted(code: int) -> None:
    assert parse(client_frame(CLOSE, code.to_bytes(2, "big"))) == [Close(code, "")]


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535])
def test_close_codes_that_may_not_be_sent_are_a_violation(code: int) -> None:
    assert code_of(parse(client_frame(CLOSE, code.to_bytes(2, "big") + b"why"))) == 1002


def forbidden(first: int, second: int, *, deflate: bool, continued: bool) -> bool:
    """RFC 6455 5.1 to 5.5 and RFC 7692 6, as statements about the first two bytes of a client's frame."""
    opcode, length = first & 15, second & 127
    control = opcode in (8, 9, 10)
    starts = opcode in (1, 2)
    return (
        bool(first & 0x30)
        or (bool(first & 0x40) and not (deflate and starts))
        or not (control or starts or opcode == 0)
        or second < 128
        or (control and (first < 128 or length > 125))
        or (starts and continued)
        or (opcode == 0 and not continued)
    )


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("continued", [False, True])
def test_every_pair_of_first_bytes_is_judged_as_soon_as_it_is_there(deflate: bool, continued: bool) -> None:
    opening = client_frame(BINARY, b"", fin=False) if continued else b""
    for first in range(256):
        for second in range(256):
            parser = FrameParser(LIMIT, Deflate() if deflate else None)
            events = parser.receive_data(opening + bytes((first, second)))
            if forbidden(first, second, deflate=deflate, continued=continued):
                assert code_of(events) == 1002, (first, second)
            else:
                assert events == [], (first, second)


# --- fail fast ----------------------------------------------------------------------------------------


def test_invalid_text_is_noticed_before_its_frame_or_message_is_complete() -> None:
    good, bad = "κόσμε".encode(), b"\xf4\x90"
    incomplete_frame = client_frame(TEXT, good + bad + b"and much more")[: 6 + len(good + bad)]
    assert parse_pieces(single_bytes(incomplete_frame[:-1])) == []
    assert code_of(parse_pieces(single_bytes(incomplete_frame))) == 1007
    assert code_of(parse(incomplete_frame)) == 1007
    early_fragment = client_frame(TEXT, good, fin=False) + client_frame(CONTINUATION, bad, fin=False)
    assert code_of(parse(early_fragment)) == 1007


def well_formed_starts() -> set[bytes]:
    """Every proper beginning of a character, by the ranges of the Unicode standard's table 3-7."""
    tail = range(0x80, 0xC0)
    second = {lead: tail for lead in range(0xC2, 0xF5)}
    second |= {
        0xE0: range(0xA0, 0xC0),
        0xED: range(0x80, 0xA0),
        0xF0: range(0x90, 0xC0),
        0xF4: range(0x80, 0x90),
    }
    starts = {bytes((lead,)) for lead in second}
    starts |= {bytes((lead, byte)) for lead in second if lead >= 0xE0 for byte in second[lead]}
    return starts | {
        start + bytes((byte,)) for start in starts if start[0] >= 0xF0 and len(start) == 2 for byte in tail
    }


def test_no_byte_that_no_character_can_have_there_is_waited_upon() -> None:
    starts = well_formed_starts()
    candidates = {bytes((lead,)) for lead in range(0x80, 0x100)}
    candidates |= {start + bytes((byte,)) for start in starts if len(start) == 1 for byte in range(256)}
    candidates |= {start + bytes((byte,)) for start in starts for byte in (0x00, 0x7F, 0x80, 0xBF, 0xC0)}
    for start in candidates:
        events = parse(client_frame(TEXT, start, fin=False))
        if start in starts or _is_text(start):
            assert events == [], start
        else:
            assert code_of(events) == 1007, start


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


# --- the limit ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("limit", [0, 10, 125, 126, 1000, 65_536])
def test_a_message_of_the_limit_passes_and_one_byte_more_does_not(opcode: int, limit: int) -> None:
    stream = client_frame(opcode, b"x" * limit)
    assert len(parse(stream, max_size=limit)) == 1
    over = client_frame(opcode, b"x" * (limit + 1))
    assert code_of(parse(over, max_size=limit)) == 1009
    halves = message(opcode, [b"x" * (limit // 2), b"x" * (limit - limit // 2 + 1)])
    assert code_of(parse(halves, max_size=limit)) == 1009


def test_the_header_decides_before_any_payload_is_there() -> None:
    header = client_frame(TEXT, length=b"\x7f" + (1 << 40).to_bytes(8, "big"))
    assert parse(header, max_size=1 << 20) == [Fault(1009, "message of more than 1048576 bytes")]


def test_control_frames_do_not_count_towards_the_limit() -> None:
    assert parse(client_frame(PING, b"x" * 125), max_size=1) == [Ping(b"x" * 125)]


def test_a_limit_that_is_lowered_applies_at_once_even_within_a_message() -> None:
    parser = FrameParser(LIMIT)
    assert parser.receive_data(client_frame(BINARY, b"x" * 500)[:100]) == []
    parser.max_size = 400
    assert code_of(parser.receive_data(b"x")) == 1009


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_the_limit_holds_for_what_a_message_inflates_to(opcode: int) -> None:
    bomb = client_frame(opcode, squeeze(b"x" * 1001), reserved=RSV1)
    assert parse(bomb, max_size=1001, deflate=Deflate()) in (["x" * 1001], [b"x" * 1001])
    assert code_of(parse(bomb, max_size=1000, deflate=Deflate())) == 1009


def test_a_bomb_does_not_inflate_beyond_the_limit() -> None:
    bomb = client_frame(BINARY, squeeze(bytes(50_000_000)), reserved=RSV1)
    parser = FrameParser(LIMIT, Deflate())
    tracemalloc.start()
    assert code_of(parser.receive_data(bomb)) == 1009
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_what_cannot_be_compressed_is_not_over_the_limit_for_growing_a_little() -> None:
    noise = bytes((n * n * 31 + n // 7) & 255 for n in range(1000))
    stored = zlib.compressobj(0, wbits=-15)
    payload = (stored.compress(noise) + stored.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert len(payload) > len(noise)
    assert parse(client_frame(BINARY, payload, reserved=RSV1), max_size=1000, deflate=Deflate()) == [noise]
    empty_blocks = b"\x00\x00\x00\xff\xff" * 1000 + b"\x00"
    stream = client_frame(BINARY, empty_blocks, reserved=RSV1)
    assert code_of(parse(stream, max_size=1000, deflate=Deflate())) == 1009


# --- compression ----------------------------------------------------------------------------------------


def test_compressed_messages_are_inflated_whole_or_fragmented() -> None:
    text = "compress me, " * 50
    payload = squeeze(text.encode())
    stream = client_frame(TEXT, payload, reserved=RSV1)
    stream += message(BINARY, [payload[:5], b"", payload[5:]], reserved=RSV1)
    stream += client_frame(TEXT, b"plain")
    expected = [text, text.encode(), "plain"]
    assert parse(stream, deflate=Deflate()) == expected
    assert parse_pieces(single_bytes(stream), FrameParser(LIMIT, Deflate())) == expected


def test_the_compression_bit_belongs_to_the_first_frame_only() -> None:
    stream = client_frame(TEXT, b"", fin=False) + client_frame(CONTINUATION, b"", reserved=RSV1)
    assert code_of(parse(stream, deflate=Deflate())) == 1002


@pytest.mark.parametrize("payload", [b"\xff\xff\xff", bytes.fromhex("f2 48 cd c9"), squeeze(b"\xff not text")])
def test_data_that_does_not_inflate_to_text_is_a_violation(payload: bytes) -> None:
    stream = client_frame(TEXT, payload, reserved=RSV1)
    assert code_of(parse(stream, deflate=Deflate())) == 1007
    assert code_of(parse_pieces(single_bytes(stream), FrameParser(LIMIT, Deflate()))) == 1007


# --- cost -------------------------------------------------------------------------------------------------


def test_an_idle_parser_holds_nothing_but_its_settings() -> None:
    parser = FrameParser(LIMIT)
    fresh = gc.get_referents(parser)
    parse_pieces(single_bytes(message(TEXT, [b"a", b"b"]) + client_frame(PING)), parser)
    assert gc.get_referents(parser) == fresh
    assert not hasattr(parser, "__dict__")
    assert sys.getsizeof(parser) <= 80


def test_an_ended_parser_lets_go_of_what_it_had_gathered() -> None:
    parser = FrameParser(LIMIT)
    tracemalloc.start()
    parser.receive_data(client_frame(BINARY, bytes(90_000), fin=False))
    assert code_of(parser.receive_data(client_frame(TEXT))) == 1002
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 10_000


@pytest.mark.parametrize("fragment", [b"", b"x", b"x" * 15])
def test_too_many_small_fragments_are_a_fault(fragment: bytes) -> None:
    parser = FrameParser(LIMIT)
    parser.receive_data(client_frame(BINARY, fin=False))
    assert parser.receive_data(client_frame(CONTINUATION, fragment, fin=False) * 1000) == []
    assert code_of(parser.receive_data(client_frame(CONTINUATION, fragment, fin=False) * 100)) == 1009


def test_a_bomb_of_many_compressed_messages_is_stopped_within_one_read() -> None:
    deflate = Deflate()
    bomb = deflate.compress(bytes(60_000))
    assert bomb is not None
    frame = client_frame(BINARY, bomb, reserved=4)
    parser = FrameParser(64_000, deflate)
    events = parser.receive_data(frame * 1000)
    assert isinstance(events[-1], Fault)
    assert events[-1].code == 1009
    assert 60 < len(events) < 80
    other = FrameParser(64_000, deflate)
    for _ in range(200):
        assert len(other.receive_data(frame)) == 1


def test_empty_fragments_take_no_room() -> None:
    parser = FrameParser(LIMIT)
    parser.receive_data(client_frame(TEXT, fin=False))
    flood = client_frame(CONTINUATION, fin=False) * 1_000
    tracemalloc.start()
    assert parser.receive_data(flood) == []
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 10_000


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("shape", ["one frame in single bytes", "small frames"])
def test_the_work_grows_with_the_message_and_not_with_its_square(opcode: int, shape: str) -> None:
    def seconds(size: int) -> float:
        if shape == "small frames":
            last = client_frame(CONTINUATION)
            stream = (
                client_frame(opcode, b"x", fin=False) + client_frame(CONTINUATION, b"x" * 16, fin=False) * size + last
            )
            pieces = [stream[at : at + 60_000] for at in range(0, len(stream), 60_000)]
        else:
            pieces = single_bytes(client_frame(opcode, b"x" * size))
        parser = FrameParser(1 << 20)
        start = time.process_time()
        assert len(parse_pieces(pieces, parser)) == 1
        return time.process_time() - start

    few = min(seconds(10_000) for _ in range(3))
    assert seconds(200_000) < 80 * few + 0.05  # twenty times the size; the square is four hundred times


# --- writers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_a_client_reads_the_messages_that_were_written(size: int) -> None:
    payload = b"x" * size
    text, binary = as_client_reads(text_frame(payload) + binary_frame(payload))
    assert (text.opcode, text.data, text.fin, text.rsv1) == (TEXT, payload, True, False)
    assert (binary.opcode, binary.data, binary.fin, binary.rsv1) == (BINARY, payload, True, False)


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, "81 00"),
        (125, "81 7d"),
        (126, "81 7e 00 7e"),
        (65_535, "81 7e ff ff"),
        (65_536, "81 7f 00 00 00 00 00 01 00 00"),
    ],
)
def test_lengths_are_written_in_their_shortest_form(size: int, header: str) -> None:
    assert text_frame(bytes(size)) == bytes.fromhex(header) + bytes(size)


@pytest.mark.parametrize("write", [text_frame, binary_frame])
@pytest.mark.parametrize("size", [200, 5000, 200_000])
def test_compressed_frames_are_marked_and_smaller(write: Callable[..., bytes], size: int) -> None:
    payload = (b"the quick brown fox %d " * 10_000 % tuple(range(10_000)))[:size]
    frame = write(payload, Deflate())
    assert len(frame) < len(write(payload))
    assert frame[0] & 0x70 == 0x40
    (read,) = as_client_reads(frame, [PerMessageDeflate(True, True, 15, 15)])
    assert bytes(read.data) == payload


@pytest.mark.parametrize("write", [text_frame, binary_frame])
def test_what_does_not_shrink_is_written_plain(write: Callable[..., bytes]) -> None:
    assert write(b"short", Deflate()) == write(b"short")


@pytest.mark.parametrize("size", [0, 4, 125])
def test_a_client_reads_pings_and_pongs(size: int) -> None:
    payload = bytes(range(size))
    ping, pong = as_client_reads(ping_frame(payload) + pong_frame(payload))
    assert (ping.opcode, ping.data, ping.fin) == (PING, payload, True)
    assert (pong.opcode, pong.data, pong.fin) == (PONG, payload, True)
    assert ping_frame() == b"\x89\x00"
    assert pong_frame() == b"\x8a\x00"


@pytest.mark.parametrize("write", [ping_frame, pong_frame])
def test_a_control_frame_that_would_break_the_protocol_is_refused(write: Callable[[bytes], bytes]) -> None:
    with pytest.raises(UsageError, match="at most 125 bytes"):
        write(bytes(126))


def test_a_client_reads_the_close_code_and_reason() -> None:
    (close,) = as_client_reads(close_frame(4001, "à bientôt"))
    assert (close.opcode, close.data) == (CLOSE, b"\x0f\xa1" + "à bientôt".encode())
    assert close_frame(1000) == b"\x88\x02\x03\xe8"


@pytest.mark.parametrize(
    ("reason", "written"),
    [
        ("x" * 124, "x" * 123),
        ("é" * 62, "é" * 61),
        ("xé" * 50, "xé" * 41),
        ("x" + "\U00010348" * 31, "x" + "\U00010348" * 30),
    ],
)
def test_a_long_reason_is_cut_between_characters(reason: str, written: str) -> None:
    (close,) = as_client_reads(close_frame(1000, reason))
    assert bytes(close.data)[2:].decode() == written


@pytest.mark.parametrize("code", [1005, 1006, 1015])
def test_codes_that_stand_for_no_code_are_not_written(code: int) -> None:
    assert close_frame(code, "ignored") == b"\x88\x00"


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1016, 2999, 5000, 70_000])
def test_codes_that_no_client_would_accept_are_refused(code: int) -> None:
    with pytest.raises(UsageError, match="not a close code"):
        close_frame(code)


@given(st.text(st.characters(exclude_categories=[]), max_size=150))
def test_any_reason_becomes_a_close_frame_that_a_client_accepts(reason: str) -> None:
    (close,) = as_client_reads(close_frame(1011, reason))
    written = bytes(close.data)[2:]
    assert len(written) <= 123
    intended = reason.encode(errors="replace")
    assert intended.startswith(written)
    assert len(intended) - len(written) < 4 or len(written) > 119
    written.decode()


# --- unmasking --------------------------------------------------------------------------------------------


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_unmasking_in_c_and_in_python_agree(data: bytes, mask: bytes) -> None:
    expected = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
    assert frames.unmask(data, mask) == expected
    assert frames._xor(data, mask) == expected


def test_parsing_works_where_the_c_extension_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets.speedups", None)
    spec = importlib.util.spec_from_file_location("frames_without_extension", frames.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.unmask is module._xor
    assert module.FrameParser(LIMIT).receive_data(client_frame(TEXT, b"pure")) == ["pure"]


# --- properties -------------------------------------------------------------------------------------------


TEXTS = st.text("\x00aé\u07ff\u0800€\uffff\U00010000\U0010ffff", max_size=200)  # every length, at its edges
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def sent(draw: st.DrawFn) -> tuple[bytes, Event]:
    """What a well-behaved client sends for one event, and the event."""
    kind = draw(st.sampled_from(["text", "binary", "ping", "pong"]))
    if kind in ("ping", "pong"):
        payload = draw(st.binary(max_size=125))
        return (
            (client_frame(PING, payload), Ping(payload))
            if kind == "ping"
            else (client_frame(PONG, payload), Pong(payload))
        )
    event: str | bytes = draw(TEXTS) if kind == "text" else draw(st.binary(max_size=200))
    payload = event.encode() if isinstance(event, str) else event
    compressed = draw(st.booleans())
    if compressed:
        payload = squeeze(payload)
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
    fragments = [payload[start:stop] for start, stop in pairwise([0, *cuts, len(payload)])]
    opcode = TEXT if kind == "text" else BINARY
    return message(opcode, fragments, reserved=RSV1 if compressed else 0), event


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(place % (len(data) + 1) for place in cuts), len(data)]
    return [data[start:stop] for start, stop in pairwise(places)]


CUTS = st.lists(st.integers(0, 1 << 16), max_size=12)


@unhurried
@given(st.lists(sent(), max_size=6), CUTS)
def test_any_cut_of_a_stream_gives_the_messages_that_were_sent(
    parts: list[tuple[bytes, Event]], cuts: list[int]
) -> None:
    stream = b"".join(data for data, _ in parts)
    expected = [event for _, event in parts]
    assert parse(stream, deflate=Deflate()) == expected
    assert parse_pieces(cut(stream, cuts), FrameParser(LIMIT, Deflate())) == expected


@settings(unhurried, max_examples=300)
@given(
    st.lists(sent(), max_size=4),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=4),
    st.binary(max_size=40),
    CUTS,
    st.booleans(),
)
def test_no_input_raises_and_no_cut_changes_what_a_damaged_stream_means(
    parts: list[tuple[bytes, Event]],
    damage: list[tuple[int, int]],
    noise: bytes,
    cuts: list[int],
    compressed: bool,
) -> None:
    stream = bytearray(b"".join(data for data, _ in parts) + noise)
    for place, byte in damage:
        if stream:
            stream[place % len(stream)] = byte
    deflate = Deflate() if compressed else None
    whole = parse(bytes(stream), max_size=300, deflate=deflate)
    assert parse_pieces(cut(bytes(stream), cuts), FrameParser(300, deflate)) == whole
    assert not any(isinstance(event, Fault | Close) for event in whole[:-1])
    assert all(len(event) <= 300 for event in whole if isinstance(event, bytes))
    assert all(len(event.encode()) <= 300 for event in whole if isinstance(event, str))
    assert all(event.code in (1002, 1007, 1009) for event in whole if isinstance(event, Fault))

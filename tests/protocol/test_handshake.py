"""RFC 6455 §4.2: which requests open a WebSocket, what the others are told, and what is answered."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.protocol.handshake import Refusal, Upgrade, accept_response, parse_upgrade, response

RFC_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
RFC_ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

GOOD = {
    b"Host": b"server.example.com",
    b"Upgrade": b"websocket",
    b"Connection": b"Upgrade",
    b"Sec-WebSocket-Key": RFC_KEY,
    b"Sec-WebSocket-Version": b"13",
}


def head(
    changes: dict[bytes, bytes | None] | None = None,
    *more: tuple[bytes, bytes],
    line: bytes = b"GET /chat HTTP/1.1",
) -> bytes:
    """A good request with some headers changed (None: left out), and some more."""
    headers = {**GOOD, **(changes or {})}
    lines = [(name, value) for name, value in headers.items() if value is not None]
    return b"\r\n".join([line, *(name + b": " + value for name, value in [*lines, *more]), b"", b""])


def upgrade_of(request: bytes) -> Upgrade:
    upgrade = parse_upgrade(request)
    assert isinstance(upgrade, Upgrade), upgrade
    return upgrade


def refusal_of(request: bytes) -> Refusal:
    refusal = parse_upgrade(request)
    assert isinstance(refusal, Refusal), refusal
    return refusal


def test_the_request_of_the_rfc_is_an_upgrade() -> None:
    upgrade = upgrade_of(head(line=b"GET /chat?room=1&x=%20 HTTP/1.1"))
    assert upgrade.target == b"/chat?room=1&x=%20"
    assert upgrade.key == RFC_KEY
    assert upgrade.subprotocols == []
    assert upgrade.extensions == []
    assert upgrade.headers == [
        (b"host", b"server.example.com"),
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-key", RFC_KEY),
        (b"sec-websocket-version", b"13"),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {b"Upgrade": b"WebSocket"},
        {b"Upgrade": b"h2c, websocket"},
        {b"Connection": b"keep-alive, Upgrade"},
        {b"Connection": b"UPGRADE"},
        {b"Connection": b"upgrade ,keep-alive"},
        {b"Sec-WebSocket-Version": b"\t13 "},
        {b"Sec-WebSocket-Key": b"  " + RFC_KEY + b" "},
        {b"Origin": b"null", b"Cookie": b"a=b; c=d"},
    ],
)
def test_these_variations_are_upgrades_too(changes: dict[bytes, bytes | None]) -> None:
    assert upgrade_of(head(changes)).key == RFC_KEY


def test_a_list_may_be_spread_over_several_headers() -> None:
    request = head(
        {b"Connection": b"keep-alive"},
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Protocol", b"chat.v2, chat.v1"),
        (b"Sec-WebSocket-Protocol", b" superchat,,"),
        (b"Sec-WebSocket-Extensions", b"permessage-deflate; client_max_window_bits"),
        (b"Sec-WebSocket-Extensions", b"foo"),
    )
    upgrade = upgrade_of(request)
    assert upgrade.subprotocols == ["chat.v2", "chat.v1", "superchat"]
    assert upgrade.extensions == ["permessage-deflate; client_max_window_bits", "foo"]


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        (b"http://hub.example/chat?a=1", b"/chat?a=1", b"hub.example"),
        (b"HTTPS://hub.example:8443/chat", b"/chat", b"hub.example:8443"),
        (b"ws://hub.example", b"/", b"hub.example"),
        (b"wss://hub.example?a=/b", b"/?a=/b", b"hub.example"),
        (b"http://anna:secret@[::1]:80/x@y", b"/x@y", b"[::1]:80"),
        (b"/http://hub.example/chat", b"/http://hub.example/chat", b"server.example.com"),
        (b"//hub.example/chat", b"//hub.example/chat", b"server.example.com"),
    ],
)
def test_a_target_may_be_a_whole_uri_whose_host_counts(target: bytes, path: bytes, host: bytes) -> None:
    upgrade = upgrade_of(head(line=b"GET " + target + b" HTTP/1.1"))
    assert upgrade.target == path
    assert [value for name, value in upgrade.headers if name == b"host"] == [host]


def test_values_keep_their_case_and_colons_and_names_lose_their_case() -> None:
    upgrade = upgrade_of(head(None, (b"X-Trace-ID", b"Ab:Cd: 9")))
    assert (b"x-trace-id", b"Ab:Cd: 9") in upgrade.headers


@pytest.mark.parametrize("method", [b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"get"])
def test_another_method_is_told_to_use_get(method: bytes) -> None:
    assert refusal_of(head(line=method + b" /chat HTTP/1.1")) == Refusal(
        405, "A WebSocket is opened with GET.", [(b"allow", b"GET")]
    )


@pytest.mark.parametrize(
    "changes",
    [
        {b"Upgrade": None},
        {b"Upgrade": b"h2c"},
        {b"Upgrade": b"websocket2"},
        {b"Upgrade": b""},
        {b"Connection": None},
        {b"Connection": b"keep-alive"},
        {b"Connection": b"not-upgrade"},
    ],
)
def test_a_request_for_something_else_is_told_what_is_here(changes: dict[bytes, bytes | None]) -> None:
    assert refusal_of(head(changes)) == Refusal(426, "This is a WebSocket endpoint.", [(b"upgrade", b"websocket")])


@pytest.mark.parametrize("version", [None, b"", b"8", b"14", b"013", b"13, 8", b"thirteen"])
def test_another_version_is_told_the_one_that_is_spoken(version: bytes | None) -> None:
    assert refusal_of(head({b"Sec-WebSocket-Version": version})) == Refusal(
        426, "Use WebSocket version 13.", [(b"sec-websocket-version", b"13")]
    )


def test_two_versions_are_not_one() -> None:
    assert refusal_of(head(None, (b"Sec-WebSocket-Version", b"13"))).status == 426


@pytest.mark.parametrize(
    "key",
    [
        None,
        b"",
        b"short",
        base64.b64encode(b"x" * 15),
        base64.b64encode(b"x" * 17),
        RFC_KEY.rstrip(b"="),
        b"dGhlIHNhbXBsZSBub25j*Q==",
        b"dGhlIHNhbXBsZSBub25j\xff\xff==",
        RFC_KEY + b"," + RFC_KEY,
    ],
)
def test_a_key_that_is_not_16_bytes_in_base64_is_a_bad_request(key: bytes | None) -> None:
    refusal = refusal_of(head({b"Sec-WebSocket-Key": key}))
    assert (refusal.status, refusal.headers) == (400, [])
    assert "Sec-WebSocket-Key" in refusal.text


def test_two_keys_are_a_bad_request() -> None:
    assert refusal_of(head(None, (b"Sec-WebSocket-Key", RFC_KEY))).status == 400


TOKEN = st.binary(min_size=1, max_size=12).filter(lambda b: not set(b) & set(b"\r\n:"))
VALUE = st.binary(max_size=40).filter(lambda b: not set(b) & set(b"\r\n"))


@given(
    method=st.sampled_from([b"GET", b"POST"]),
    headers=st.lists(st.tuples(st.sampled_from(list(GOOD)) | TOKEN, st.sampled_from(list(GOOD.values())) | VALUE)),
)
def test_no_header_makes_it_raise(method: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    request = b"\r\n".join([method + b" / HTTP/1.1", *(name + b": " + value for name, value in headers), b"", b""])
    outcome = parse_upgrade(request)
    if isinstance(outcome, Refusal):
        assert outcome.status in (400, 405, 426)
        response(outcome.status, outcome.headers, outcome.text.encode())
    else:
        assert accept_response(outcome, []).startswith(b"HTTP/1.1 101 ")


def test_the_answer_proves_that_the_key_was_read() -> None:
    answer = accept_response(upgrade_of(head()), [(b"sec-websocket-protocol", b"chat"), (b"x-more", b"1")])
    assert answer == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"upgrade: websocket\r\n"
        b"connection: Upgrade\r\n"
        b"sec-websocket-accept: " + RFC_ACCEPT + b"\r\n"
        b"sec-websocket-protocol: chat\r\n"
        b"x-more: 1\r\n"
        b"\r\n"
    )


def test_a_response_is_status_headers_and_body() -> None:
    assert response(403, [(b"content-length", b"2")], b"no") == (
        b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno"
    )
    assert response(599, []) == b"HTTP/1.1 599 \r\n\r\n", "a status without a phrase of its own"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x", b"1\r\nset-cookie: a=b"),
        (b"x", b"1\nset-cookie: a=b"),
        (b"x", b"1\rset-cookie: a=b"),
        (b"x", b"1\x00"),
        (b"x\r\nset-cookie", b"1"),
        (b"x\x00", b"1"),
    ],
)
def test_a_header_cannot_break_out_of_its_line(name: bytes, value: bytes) -> None:
    with pytest.raises(ValueError, match="contains a line break"):
        response(200, [(name, value)])
    with pytest.raises(ValueError, match="contains a line break"):
        accept_response(upgrade_of(head()), [(name, value)])

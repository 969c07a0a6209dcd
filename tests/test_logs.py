"""No token is written to a log."""

import logging
import sys
import time
from collections.abc import Iterator

import pytest
from hypercorn.logging import AccessLogAtoms
from hypothesis import given
from hypothesis import strategies as st

from hubbub.logs import SafeFilter, protect_logs
from hubbub.redaction import redact

SERVERS = (
    "hubbub",
    "uvicorn",
    "uvicorn.access",
    "uvicorn.asgi",
    "gunicorn.access",
    "uvicorn.error",
    "hypercorn.access",
    "granian.access",
    "_granian",
)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("/ws?token=abc", "/ws?token=***"),
        ("/ws?room=1&token=abc", "/ws?room=1&token=***"),
        ("/ws?token=abc&room=1", "/ws?token=***&room=1"),
        ("/ws?a=1;token=abc;b=2", "/ws?a=1;token=***;b=2"),
        ("/ws?TOKEN=abc&Token=def", "/ws?TOKEN=***&Token=***"),
        ("/ws?access_token=abc&id_token=def&token2=ghi", "/ws?access_token=***&id_token=***&token2=***"),
        ("/ws?x-auth-token=abc&x.token.y=def", "/ws?x-auth-token=***&x.token.y=***"),
        ("/ws?password=a&passwd=b&pwd=c&passphrase=d", "/ws?password=***&passwd=***&pwd=***&passphrase=***"),
        ("/ws?api_key=a&api-key=b&apikey=c&key=d", "/ws?api_key=***&api-key=***&apikey=***&key=***"),
        ("/ws?client_secret=a&jwt=b&ticket=c", "/ws?client_secret=***&jwt=***&ticket=***"),
        ("/ws?sig=a&signature=b&X-Amz-Signature=c", "/ws?sig=***&signature=***&X-Amz-Signature=***"),
        ("/ws?X-Amz-Credential=a&session=b&sid=c&code=d", "/ws?X-Amz-Credential=***&session=***&sid=***&code=***"),
        ("/ws?auth=a&authorization=b", "/ws?auth=***&authorization=***"),
        # The value ends where the parameter does.
        ("/ws?token=a%20b+c/d=", "/ws?token=***"),
        ('"GET /ws?token=abc HTTP/1.1" 403', '"GET /ws?token=*** HTTP/1.1" 403'),
        ('"WebSocket /ws?token=abc" [accepted]', '"WebSocket /ws?token=***" [accepted]'),
        ("/ws?token=abc#there", "/ws?token=***#there"),
        # Browsers do not encode an apostrophe.
        ("/ws?password=it's+me&x=1", "/ws?password=***&x=1"),
        ("/ws?password='quoted'&x=1", "/ws?password=***'&x=1"),
        ("['/ws?token=abc', 'x']", "['/ws?token=***', 'x']"),
        ("/ws#access_token=abc", "/ws#access_token=***"),
        # A name in brackets, or encoded, however often.
        ("/ws?token[]=abc&user[key]=d&f[x][sid]=e", "/ws?token[]=***&user[key]=***&f[x][sid]=***"),
        ("/ws?token%5B%5D=abc&access%5Ftoken=d", "/ws?token%5B%5D=***&access%5Ftoken=***"),
        ("/ws?access%255Ftoken=abc", "/ws?access%255Ftoken=***"),
        # A value that is an address, a form or JSON, however often encoded.
        ("/ws?next=https%3A%2F%2Fa.b%2F%3Ftoken%3Dabc&x=1", "/ws?next=***&x=1"),
        ("/ws?next=https%253A%252F%252Fa.b%252F%253Ftoken%253Dabc", "/ws?next=***"),
        ("/ws?next=%252525252525253Ftoken", "/ws?next=***"),
        ("/ws?a=b%26token%3Dabc", "/ws?a=***"),
        ("/ws?next=%2Fcb%23access_token%3Dabc", "/ws?next=***"),
        ("/ws?next=https%3A%2F%2Fjane:abc@a.b%2F", "/ws?next=***"),
        ("/ws?data=%7B%22token%22%3A%20%22abc%22%7D", "/ws?data=***"),
        ("/ws?data=%7B%22token%22%3A+%22abc%22%7D", "/ws?data=***"),
        ("/ws?data=%7B%22auth%22%3A%7B%22a%22%3A%22abc%22%7D%7D", "/ws?data=***"),
        ("""/ws?data={"room":"a","token":"ab\\"c","x":"y"}""", """/ws?data={"room":"a","token":***,"x":"y"}"""),
        (r"""{"data":"{\"token\":\"abc\",\"x\":1}"}""", r"""{"data":"{\"token\":***,\"x\":1}"}"""),
        ("{'token': 'abc', 'code': 123456, 'keys': 1}", "{'token': ***, 'code': ***, 'keys': 1}"),
        ("""< TEXT '{"connect":{"token":"abc...""", """< TEXT '{"connect":{"token":***"""),
        # What is a secret under any name.
        ("/ws?t=eyJhbGciOi.eyJzdWIi.c2ln", "/ws?t=***"),
        ("Authorization: Bearer abc/d+e=", "Authorization: Bearer ***"),
        ("Bearer eyJhbGciOi.eyJzdWIi.c2ln refused", "Bearer *** refused"),
        ("connecting to https://jane:abc@a.b:1/c", "connecting to https://jane:***@a.b:1/c"),
        # Twice in a line, and all over again.
        ("/a?token=b then /c?token=d", "/a?token=*** then /c?token=***"),
        ("/ws?token=***", "/ws?token=***"),
    ],
)
def test_the_value_of_a_secret_parameter_is_not_shown(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/ws",
        "/ws?room=token",
        "/ws?author=jane&keyboard=de&coder=me&decode=x&sidebar=1&monkey=2",
        "/ws?token=",
        "/ws?token",
        "/token=abc",
        "the token=abc of a sentence",
        "/ws?room=100%25&next=https%3A%2F%2Fa.b%2F%3Froom%3Dtoken",
        "/ws?data=%7B%22room%22%3A%22token%22%7D",
        '{"room":"token","author":"jane"}',
        "Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@given(
    st.text(), st.text(alphabet=st.characters(exclude_characters="&;#\"'", exclude_categories=["Z", "C"]), min_size=1)
)
def test_the_secret_is_not_in_what_is_shown(before: str, secret: str) -> None:
    shown = redact(f"{before}?token={secret}")
    assert shown.endswith("token=***")


SLOW = ["token", "?token", "&a", "?", "=", "-", "&token=a", "api-key", "?tokentoken=", "%25", "a=%25", "%3Ftoken%3D&",
        "&%", '"a":"', "'a':'", '"token":"', '"token":\\"', "\\", '\\"', '"token":[', '"token":{', "//a:", "//", "eyJ",
        "eyJaaaaaaa.", "?a=?", "token[", "&[a]", '"a' + "\\"]  # fmt: skip


@pytest.mark.parametrize("unit", SLOW)
def test_a_request_made_to_be_slow_is_not(unit: str) -> None:
    def seconds(size: int) -> float:
        text = "?" + unit * (size // len(unit))
        started = time.process_time()
        redact(text)
        return time.process_time() - started

    # 64 KiB is as much as a server takes for one line: the event loop stands still while it is redacted. Sixteen times
    # the text takes about sixteen times as long; were it searched anew from every position, 256 times.
    small = min(seconds(4096) for _ in range(9))
    assert min(seconds(65536) for _ in range(3)) < 80 * small


def record_of(message: object, *args: object) -> logging.LogRecord:
    return logging.LogRecord("uvicorn.access", logging.INFO, __file__, 1, message, args, None)


def test_the_filter_redacts_message_and_arguments_and_drops_nothing() -> None:
    record = record_of('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", "/ws?token=abc", "1.1", 403)
    assert SafeFilter().filter(record) is True
    assert record.getMessage() == '127.0.0.1:1 - "GET /ws?token=*** HTTP/1.1" 403'
    record = record_of("refused /ws?token=abc")
    assert SafeFilter().filter(record) is True
    assert record.getMessage() == "refused /ws?token=***"
    record = record_of("%(path)s %(status)d", {"path": "/ws?token=abc", "status": 403})
    assert SafeFilter().filter(record) is True
    assert record.getMessage() == "/ws?token=*** 403"


CONTROLS = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\x1b": r"\x1b", "\x9b": r"\x9b", "\x7f": r"\x7f", "\0": r"\x00",
            "\u2028": r"\u2028", "\u202e": r"\u202e", "\ud83d": r"\ud83d"}  # fmt: skip


@pytest.mark.parametrize(("control", "escaped"), CONTROLS.items(), ids=CONTROLS.values())
def test_what_a_peer_chose_stays_on_its_line(control: str, escaped: str) -> None:
    peer = f"a{control}b"
    for argument in (peer, ValueError(peer)):
        record = record_of("refused %s to %d\n\x1b[1mnow", argument, 1)
        SafeFilter().filter(record)
        assert record.getMessage() == f"refused a{escaped}b to 1\n\x1b[1mnow", "the logger's own form stays"
    record = record_of("%(path)s", {"path": peer})
    SafeFilter().filter(record)
    assert record.getMessage() == f"a{escaped}b"


@pytest.mark.parametrize("secret", ["?token=hunter2&", "//anna:hunter2@host ", " Bearer hunter2"])
@pytest.mark.parametrize("before", range(8192 - 25, 8192))
def test_a_very_long_argument_is_cut_and_never_within_a_secret(secret: str, before: int) -> None:
    path = "b" * before + secret * 3000
    record = record_of('"GET %s HTTP/1.1" %d', path, 200)
    SafeFilter().filter(record)
    line = record.getMessage()
    assert "hunt" not in line
    assert len(line) < 8300
    assert line.endswith(' more characters) HTTP/1.1" 200')


def test_a_message_without_arguments_keeps_its_lines_and_loses_its_escapes() -> None:
    record = record_of("Traceback:\n\tline one\n\x1b[2Jline two")
    SafeFilter().filter(record)
    assert record.getMessage() == "Traceback:\n\tline one\n\\x1b[2Jline two"


def test_the_text_of_an_exception_cannot_look_like_a_line_of_the_log() -> None:
    try:
        raise ValueError("bad ?token=abc\nINFO:     admin logged in\x1b[2J")
    except ValueError:
        record = logging.LogRecord("hubbub", logging.ERROR, __file__, 1, "it failed", (), sys.exc_info())
    SafeFilter().filter(record)
    shown = logging.Formatter().format(record).splitlines()
    assert shown[:2] == ["it failed", "Traceback (most recent call last):"]
    assert shown[-2:] == ["ValueError: bad ?token=***", "    INFO:     admin logged in\\x1b[2J"]


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "X-Api-Key", "Sec-WebSocket-Protocol"])
def test_headers_that_carry_secrets_are_hidden(name: str) -> None:
    record = record_of("< %s: %s", name, "abc")
    SafeFilter().filter(record)
    assert record.getMessage() == f"< {name}: ***"
    record = record_of(f"%({{{name}}}i)s %({{accept}}i)s", {f"{{{name}}}i": "abc", "{accept}i": "text/html"})
    SafeFilter().filter(record)
    assert record.getMessage() == "*** text/html"


def test_a_scope_is_shown_without_its_secrets() -> None:
    scope = {"path": "/ws", "query_string": b"a=1&token=abc", "subprotocols": ["chat", "abc"], "state": {}}
    record = record_of("%s Started scope=%s", "ASGI", scope)
    SafeFilter().filter(record)
    assert "abc" not in record.getMessage()
    assert "a=1&token=***" in record.getMessage()
    assert scope["query_string"] == b"a=1&token=abc", "the scope itself is as it was"


def test_the_atoms_of_hypercorn_are_safe_and_those_that_are_missing_are_a_dash() -> None:
    headers = [(b"referer", b"https://a.b/?token=abc")]
    request = {"type": "http", "method": "GET", "path": "/x\ny", "query_string": b"token=abc", "headers": headers,
               "scheme": "http", "client": ("127.0.0.1", 1)}  # fmt: skip
    record = record_of("%(R)s %(q)s %(f)s %({x-none}i)s %(D)d", AccessLogAtoms(request, None, 0.0))  # type: ignore[arg-type]
    SafeFilter().filter(record)
    shown = r"GET /x\ny?token=*** ws token=*** https://a.b/?token=*** - 0"
    assert record.getMessage() == shown


def test_the_filter_leaves_what_is_not_text_alone() -> None:
    thing = object()
    record = record_of(thing)
    assert SafeFilter().filter(record) is True
    assert record.msg is thing
    record = record_of("%s", thing)
    SafeFilter().filter(record)
    assert record.args == (thing,)


@pytest.fixture
def _as_before() -> Iterator[None]:
    filters = {name: list(logging.getLogger(name).filters) for name in SERVERS}
    for name in SERVERS:
        logging.getLogger(name).filters.clear()
    yield
    for name, before in filters.items():
        logging.getLogger(name).filters[:] = before


@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize("server", SERVERS)
def test_the_logs_of_the_servers_are_redacted(server: str, caplog: pytest.LogCaptureFixture) -> None:
    protect_logs()
    with caplog.at_level(logging.INFO, server):
        logging.getLogger(server).info('"WebSocket %s" 403', "/ws?token=abc")
    assert caplog.messages == ['"WebSocket /ws?token=***" 403']


@pytest.mark.usefixtures("_as_before")
def test_redacting_twice_adds_one_filter() -> None:
    protect_logs()
    protect_logs()
    assert len(logging.getLogger("uvicorn.access").filters) == 1


def test_a_secret_that_is_a_list_or_an_object_is_hidden_to_its_end() -> None:
    assert redact('{"tokens": ["a", "b]"], "x": 1}') == '{"tokens": ***, "x": 1}'
    assert redact('{"token": {"a": "}"}, "x": 1}') == '{"token": ***, "x": 1}'
    assert redact('{"token": {"a": {"b": 1}, "c": "hunter2"}, "x": 1}') == '{"token": ***'
    assert redact('{"token": ["a') == '{"token": ***'


def test_the_connect_request_in_an_address_is_hidden_with_the_token_in_it() -> None:
    assert redact("GET /connection/uni_sse?cf_connect=%7B%22token%22%3A%22e.y.J%22%7D HTTP/1.1") == (
        "GET /connection/uni_sse?cf_connect=*** HTTP/1.1"
    )


def test_a_secret_in_an_address_that_is_a_value_is_hidden() -> None:
    assert redact("GET /login?next=/ws?token=abc?d&x=1") == "GET /login?next=/ws?token=***&x=1"

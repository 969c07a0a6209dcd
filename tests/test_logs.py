"""No token is written to a log."""

import logging
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.logs import RedactingFilter, redact, redact_server_logs

SERVERS = ("uvicorn", "uvicorn.access", "uvicorn.error", "hypercorn.access", "granian.access", "_granian")


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


@pytest.mark.parametrize("unit", ["token", "?token", "&a", "?", "=", "-", "&token=a", "api-key", "?tokentoken="])
def test_a_request_made_to_be_slow_is_not(unit: str) -> None:
    def seconds(size: int) -> float:
        text = "?" + unit * (size // len(unit))
        started = time.process_time()
        redact(text)
        return time.process_time() - started

    # 64 KiB, as much as a server takes for one line: the event loop stands still as long as this takes.
    assert min(seconds(65536) for _ in range(3)) < 0.1


def record_of(message: object, *args: object) -> logging.LogRecord:
    return logging.LogRecord("uvicorn.access", logging.INFO, __file__, 1, message, args, None)


def test_the_filter_redacts_message_and_arguments_and_drops_nothing() -> None:
    record = record_of('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", "/ws?token=abc", "1.1", 403)
    assert RedactingFilter().filter(record) is True
    assert record.getMessage() == '127.0.0.1:1 - "GET /ws?token=*** HTTP/1.1" 403'
    record = record_of("refused /ws?token=abc")
    assert RedactingFilter().filter(record) is True
    assert record.getMessage() == "refused /ws?token=***"
    record = record_of("%(path)s %(status)d", {"path": "/ws?token=abc", "status": 403})
    assert RedactingFilter().filter(record) is True
    assert record.getMessage() == "/ws?token=*** 403"


def test_the_filter_leaves_what_is_not_text_alone() -> None:
    thing = object()
    record = record_of(thing)
    assert RedactingFilter().filter(record) is True
    assert record.msg is thing
    record = record_of("%s", thing)
    RedactingFilter().filter(record)
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
    redact_server_logs()
    with caplog.at_level(logging.INFO, server):
        logging.getLogger(server).info('"WebSocket %s" 403', "/ws?token=abc")
    assert caplog.messages == ['"WebSocket /ws?token=***" 403']


@pytest.mark.usefixtures("_as_before")
def test_redacting_twice_adds_one_filter() -> None:
    redact_server_logs()
    redact_server_logs()
    assert len(logging.getLogger("uvicorn.access").filters) == 1


def test_the_connect_request_in_an_address_is_hidden_with_the_token_in_it() -> None:
    assert redact("GET /connection/uni_sse?cf_connect=%7B%22token%22%3A%22e.y.J%22%7D HTTP/1.1") == (
        "GET /connection/uni_sse?cf_connect=*** HTTP/1.1"
    )


def test_a_secret_in_an_address_that_is_a_value_is_hidden() -> None:
    assert redact("GET /login?next=/ws?token=abc?d&x=1") == "GET /login?next=/ws?token=***&x=1"

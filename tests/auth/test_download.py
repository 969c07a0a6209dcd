"""A document of another server: all of it by one deadline, whatever the server does."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from tests.auth.issuer import Issuer
from tests.tls import certificate

from hubbub.auth.download import download


@contextmanager
def dripping(said: bytes) -> Iterator[tuple[int, threading.Event]]:
    """A server that says this, and then a byte now and then; and the event that its client has left."""
    closing, left = threading.Event(), threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        peer, _ = listening.accept()
        with peer, suppress(OSError):
            peer.sendall(said)
            while not closing.wait(0.01):
                peer.sendall(b"x")
        if not closing.is_set():
            left.set()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1], left
    finally:
        closing.set()
        thread.join(10)
        listening.close()


@pytest.mark.parametrize(
    ("scheme", "said"),
    [
        ("http", b""),
        ("http", b"HTTP/1.1 200 OK\r\nX-Head: "),
        ("http", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
        ("http", b"HTTP/1.1 200 OK\r\n\r\n"),
        ("https", b"\x16\x03\x03\x3f\xff"),
    ],
    ids=["status line", "head", "body", "body without a length", "TLS"],
)
def test_an_answer_that_drips_is_cut_at_the_deadline_wherever_it_is(scheme: str, said: bytes) -> None:
    with dripping(said) as (port, left):
        with pytest.raises(TimeoutError, match=r"^no whole answer within 0\.2 s$"):
            download(f"{scheme}://127.0.0.1:{port}/", 0.2, 1000)
        assert left.wait(10)


def test_a_document_is_read_up_to_its_largest_size() -> None:
    with Issuer() as issuer:
        issuer.answer = b"x" * 1000
        assert download(issuer.url, 5, 1000) == issuer.answer
        with pytest.raises(ValueError, match="the answer has more than 999 bytes"):
            download(issuer.url, 5, 999)


def test_a_server_must_show_a_certificate_that_this_machine_trusts(monkeypatch: pytest.MonkeyPatch) -> None:
    with Issuer(tls=certificate()) as issuer:
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            download(issuer.url, 5, 1000)
        monkeypatch.setenv("SSL_CERT_FILE", certificate()[0])
        assert download(issuer.url, 5, 1000) == issuer.answer


def test_a_server_that_is_not_there_or_refuses_is_an_os_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(OSError, match="refused"):
        download(f"http://127.0.0.1:{port}/", 5, 1000)
    with Issuer() as issuer:
        issuer.status = 404
        with pytest.raises(OSError, match="404"):
            download(issuer.url, 5, 1000)

"""TLS for tests against real servers: a certificate of this run, and a client's socket that two threads may use."""

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import websockets.sync.client
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.sync.client import ClientConnection

_making = threading.Lock()


def certificate() -> tuple[str, str]:
    """The paths of a certificate for this machine, and of its key: the same for the whole run."""
    with _making:
        return _make_certificate()


@cache
def _make_certificate() -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = Path(mkdtemp(prefix="hubbub-tls-"))
    (folder / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(folder / "certificate.pem"), str(folder / "key.pem")


@cache
def trust() -> ssl.SSLContext:
    """What clients trust: that certificate alone."""
    return ssl.create_default_context(cafile=certificate()[0])


class TlsSocket:
    """As a connected socket, for one thread that receives and one that sends.

    Python's own TLS sockets must not be used by two threads at once. Here the encryption has a lock, which is
    never held while the socket waits.
    """

    def __init__(self, raw: socket.socket, context: ssl.SSLContext) -> None:
        self.raw = raw
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            else:
                break
        self._flush()

    def recv(self, size: int) -> bytes:
        """All that has come, though it may be more than ``size``: whoever waits for the socket would miss the rest."""
        while True:
            got, ended = b"", True
            with self._lock:
                try:
                    while data := self._object.read(size):
                        got += data
                except ssl.SSLWantReadError:
                    ended = False
                except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                    pass
                if ended:
                    with contextlib.suppress(ssl.SSLError):
                        self._object.unwrap()  # the other side waits for our goodbye
            if ended:
                with contextlib.suppress(OSError):
                    self._flush()
            if got or ended:
                return got
            self._fill()

    def sendall(self, data: bytes) -> None:
        with self._sending:
            with self._lock:
                self._object.write(data)
            self._flush()

    def has_decrypted(self) -> bool:
        """Whether there is something to receive that no longer waits in the socket."""
        with self._lock:
            return self._object.pending() > 0 or self._incoming.pending > 0

    def _fill(self) -> None:
        data = self.raw.recv(1 << 16)
        with self._lock:
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    def _flush(self) -> None:
        with self._lock:
            data = self._outgoing.read()
        self.raw.sendall(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)

    def __enter__(self) -> "TlsSocket":
        return self

    def __exit__(self, *_: object) -> None:
        self.raw.close()


def connect(url: str, **options: Any) -> ClientConnection:
    """As that of ``websockets``, which hangs at times: it uses Python's TLS sockets from two threads at once."""
    if url.startswith("wss://"):
        host, port = url.removeprefix("wss://").partition("/")[0].split(":")
        options["sock"] = TlsSocket(socket.create_connection((host, int(port)), timeout=10), trust())
        url = url.replace("wss", "ws", 1)
    return websockets.sync.client.connect(url, **options)

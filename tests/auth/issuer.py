"""Real keys, tokens that are signed by hand, and an issuer that publishes its keys over HTTP."""

import base64
import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Mapping
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

SECRET = "a secret of sixty-four bytes, which is as long as HS512 wants it"
NOW = 1_700_000_000.0
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def private_key(algorithm: str, number: int = 0, size: int = 2048) -> PrivateKey:
    """The key to sign with; another one for each ``number``."""
    return _generated("RSA" if algorithm.startswith("RS") else algorithm, number, size)


@cache
def _generated(kind: str, number: int, size: int) -> PrivateKey:
    if kind == "RSA":
        return rsa.generate_private_key(65537, size)
    return ed25519.Ed25519PrivateKey.generate() if kind == "EdDSA" else ec.generate_private_key(CURVES[kind])


def public_pem(key: PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem(key: PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def jwk(key: PrivateKey, kid: str, **members: str) -> dict[str, Any]:
    """The public key as an entry of a key set."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        entry = RSAAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        entry = ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        entry = OKPAlgorithm.to_jwk(public, as_dict=True)
    entry.pop("key_ops", None)
    return {**entry, "kid": kid, **members}


def token_of(algorithm: str, claims: Mapping[str, Any], *, number: int = 0, kid: str | None = None) -> str:
    """A token as an issuer makes it with PyJWT."""
    headers = None if kid is None else {"kid": kid}
    return jwt.encode(dict(claims), private_key(algorithm, number), algorithm, headers)


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(header: bytes, payload: bytes, secret: bytes = SECRET.encode(), digest: str = "sha256") -> str:
    """Any header and any payload, under a genuine signature."""
    signing_input = f"{encoded(header)}.{encoded(payload)}"
    return f"{signing_input}.{encoded(hmac.digest(secret, signing_input.encode(), getattr(hashlib, digest)))}"


def signed(claims: Any) -> str:
    """Any claims, under a genuine signature."""
    return forged(b'{"alg":"HS256"}', json.dumps(claims, ensure_ascii=False).encode())


class Time:
    """A clock that stands still."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Issuer:
    """Serves a key set on a port of its own. ``answer`` is what it says, ``gate`` holds it back until set."""

    def __init__(self, *keys: dict[str, Any], tls: tuple[str, str] | None = None) -> None:
        self.publish(*keys)
        self.status = 200
        self.asked = 0
        self.location = ""
        self.drips = False
        """Whether the answer comes byte by byte, and never ends."""
        self.cut = threading.Event()
        """Set when a client leaves in the middle of such an answer."""
        self.gate = threading.Event()
        self.gate.set()
        self.closing = threading.Event()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                issuer.gate.wait(10)
                self.send_response(issuer.status)
                self.send_header("content-length", str(len(issuer.answer)))
                if issuer.location:
                    self.send_header("location", issuer.location)
                self.end_headers()
                if issuer.drips:
                    self.drip()
                else:
                    self.wfile.write(issuer.answer)

            def drip(self) -> None:
                byte = 0
                try:
                    while not issuer.closing.wait(0.01):
                        self.wfile.write(issuer.answer[byte : byte + 1])
                        byte = min(byte + 1, len(issuer.answer) - 2)
                except OSError:
                    issuer.cut.set()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def publish(self, *keys: Any) -> None:
        self.answer = json.dumps({"keys": keys}).encode()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}/jwks.json"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

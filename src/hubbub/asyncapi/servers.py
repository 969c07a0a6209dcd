"""How clients of the Centrifuge protocol reach an app, as servers of an AsyncAPI document."""

from hubbub.asyncapi.schemas import Object
from hubbub.auth.base import Auth
from hubbub.auth.jwt import JWT

BINDINGS: Object = {
    "ws": {
        "method": "GET",
        "query": {
            "type": "object",
            "properties": {"format": {"type": "string", "enum": ["json", "protobuf"], "default": "json"}},
        },
    }
}
"""What the handshake of a WebSocket may say."""

_SERVERS = (
    (
        "websocket",
        "ws",
        "/connection/websocket",
        "WebSocket, JSON",
        "One-way, for clients that only listen: `{base}/connection/uni_websocket`.",
    ),
    (
        "websocket_protobuf",
        "ws",
        "/connection/websocket",
        "WebSocket, Protobuf",
        "Asked for with the sub-protocol `centrifuge-protobuf`, or with `?format=protobuf`.",
    ),
    (
        "http_stream",
        "http",
        "/connection/http_stream",
        "HTTP streaming",
        "POST the first command, and read lines of JSON, or Protobuf for `application/octet-stream`. Further commands "
        "go to `{base}/emulation`. One-way: `{base}/connection/uni_http_stream`.",
    ),
    (
        "sse",
        "http",
        "/connection/sse",
        "Server-Sent Events",
        "GET with the first command in `cf_connect`, or POST it. Further commands go to `{base}/emulation`. One-way: "
        "`{base}/connection/uni_sse`.",
    ),
)


def servers(host: str, base: str, *, secure: bool, token: bool) -> Object:
    """All ways to connect.

    Args:
        host: with its port.
        base: the path below which the endpoints are.
        secure: whether over TLS.
        token: whether clients must show one.
    """
    found: Object = {}
    for name, protocol, path, title, description in _SERVERS:
        found[name] = {
            "host": host,
            "pathname": f"{base}{path}",
            "protocol": f"{protocol}s" if secure else protocol,
            "title": title,
            "description": description.format(base=base),
        }
        if token:
            found[name]["security"] = [{"$ref": "#/components/securitySchemes/token"}]
    return found


def security_scheme(auth: Auth) -> Object:
    """What ``auth`` wants to see. HTTP's bearer is the nearest word of AsyncAPI's for a token."""
    scheme: Object = {"type": "http", "scheme": "bearer"}
    if isinstance(auth, JWT):
        scheme["bearerFormat"] = "JWT"
    scheme["description"] = "The `token` of the connect command. Tokens for one channel go into its subscribe command."
    return scheme

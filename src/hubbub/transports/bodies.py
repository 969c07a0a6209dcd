"""Bodies of requests, with a bound on their size and on the time that a client may take."""

from contextlib import aclosing

from starlette.requests import Request

from hubbub.hub.deadlines import deadline
from hubbub.hub.engine import Engine


class Rejected(Exception):
    """What a client has sent is not taken; ``status`` is the answer."""

    def __init__(self, status: int) -> None:
        self.status = status


async def read_body(engine: Engine, request: Request, limit: int, timeout: float) -> bytes:
    """The whole body, of at most ``limit`` bytes, that must be there in ``timeout`` seconds.

    A stop of the hub waits for it no longer than ``stop_timeout``.

    Raises:
        Rejected: the body is larger (413), or takes longer (408).
        ClientDisconnect: the client has left.
    """
    body = bytearray()
    try:
        # Closed here, not by the garbage collector: an early end leaves the generator in the middle.
        async with deadline(timeout, engine.waits), aclosing(request.stream()) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) > limit:
                    raise Rejected(413)
    except TimeoutError:
        raise Rejected(408) from None
    return bytes(body)

"""The public door of the fast path: ``uvicorn app:app --ws hubbub.wire:Protocol``.

With a uvicorn that the fast path does not fit, these are uvicorn's own protocols, and the log says so: the hub then
works as on any ASGI server.
"""

import logging
from typing import TYPE_CHECKING

import uvicorn

from hubbub.canaries import fault_of
from hubbub.transports.canary import fast_path

if TYPE_CHECKING:
    from hubbub.transports.http import HttpProtocol
    from hubbub.transports.wire import Protocol
elif fault := fault_of(fast_path):
    from uvicorn.protocols.http.auto import AutoHTTPProtocol as HttpProtocol
    from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol as Protocol

    logging.getLogger("hubbub").warning(
        "the fast path is off, since it does not fit uvicorn %s (%s): WebSockets work, with more CPU time and memory "
        "for each. A newer version of hubbub may have it again, or an older uvicorn.",
        uvicorn.__version__,
        fault,
    )
else:
    from hubbub.transports.http import HttpProtocol
    from hubbub.transports.wire import Protocol

__all__ = ["HttpProtocol", "Protocol"]

"""The Centrifuge SDK for web pages, one file of the npm package ``centrifuge``, and the route that serves it.

A wheel contains the file. A checkout does not: there it is the file that npm installs in ``web/``.
"""

import functools
import logging
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, PlainTextResponse, Response

_log = logging.getLogger("hubbub")
_PACKAGE = Path(__file__).parent
_FOLDERS = (_PACKAGE / "sdk", _PACKAGE.parents[1] / "web" / "node_modules" / "centrifuge" / "dist")

SDK_MISSING = (
    "The JavaScript SDK is not part of this installation. A wheel of Hubbub contains it. In a checkout, install Node "
    "and npm, run `npm ci --prefix web`, and install again unless the installation is editable.\n"
)


@functools.cache
def _warn_of_missing() -> None:
    """Once: a page shows its user nothing of the 404."""
    _log.warning("a page asks for /connection/centrifuge.js. %s", SDK_MISSING.rstrip())


def browser_sdk() -> Path | None:
    """The file that defines ``Centrifuge`` on a page; None if this installation has none."""
    files = (folder / "centrifuge.js" for folder in _FOLDERS)
    return next((file for file in files if file.is_file()), None)


def sdk_router() -> APIRouter:
    """``/connection/centrifuge.js``: the SDK, or a 404 that says what is missing."""
    router = APIRouter()

    @router.get("/connection/centrifuge.js", include_in_schema=False, operation_id="hubbub_sdk")
    async def sdk() -> Response:
        file = browser_sdk()
        if file is None:
            _warn_of_missing()
            return PlainTextResponse(SDK_MISSING, 404)
        return FileResponse(file, media_type="text/javascript")

    return router

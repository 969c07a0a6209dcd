"""What `hubbub serve` serves: example apps as one, and the playground page."""

import contextlib
import importlib.util
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute, APIWebSocketRoute

from hubbub.asyncapi import FRAME

SYSTEMS = (
    "echo_server",
    "chat_server",
    "secure_server",
    "stream_server",
    "chat_server_additional",
    "secure_notifications",
    "streaming_server_progress",
    "channel_room",
)

_HERE = Path(__file__).parent
_PACKAGE = _HERE.parent
_ASSETS = {file.name: file for file in (FRAME, *_HERE.iterdir()) if file.suffix in (".css", ".js", ".svg")}
_CONTENT_POLICY = "default-src 'self'; connect-src 'self' ws: wss:; frame-ancestors 'none'; base-uri 'none'"


def examples_folder() -> Path:
    """Where the example files are: inside the installed package, or beside it in a checkout."""
    installed = _PACKAGE / "examples"
    return installed if installed.is_dir() else _PACKAGE.parent.parent / "examples"


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"hubbub_examples_{name}", examples_folder() / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def create_app() -> FastAPI:
    """The systems, each with its own hub, under their own paths, and the page at ``/``."""
    systems = {name: _load(name) for name in SYSTEMS}

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for system in systems.values():
                await stack.enter_async_context(system.hub.lifespan(app))
            yield

    app = FastAPI(title="Hubbub playground", lifespan=lifespan)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_HERE / "index.html", headers={"content-security-policy": _CONTENT_POLICY})

    @app.get("/playground/{name}", include_in_schema=False)
    async def asset(name: str) -> FileResponse:
        if name not in _ASSETS:
            raise HTTPException(404)
        return FileResponse(_ASSETS[name])

    for system in systems.values():
        app.router.routes += [
            route for route in system.app.router.routes if isinstance(route, APIRoute | APIWebSocketRoute)
        ]
    app.include_router(systems["channel_room"].hub.router)  # no other system has sessions
    return app


app = create_app()

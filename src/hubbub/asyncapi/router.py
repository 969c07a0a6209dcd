"""Where the document and its page are served."""

import hashlib
import zlib
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, FastAPI
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import request_response

from hubbub.asyncapi.document import describe, document
from hubbub.asyncapi.page import CONTENT_POLICY, Page
from hubbub.asyncapi.schemas import Object
from hubbub.asyncapi.servers import servers
from hubbub.hub.registry import Registry
from hubbub.settings import Settings
from hubbub.transports.doors import http_door


def asyncapi_router(registry: Registry, settings: Settings) -> APIRouter:
    """The page at ``asyncapi_url``, and the document at the same with ``.json``; nothing if the setting is empty."""
    router = APIRouter()
    url = settings.asyncapi_url
    if url:
        served = _Served(registry, settings)
        router.routes.append(http_door(url, request_response(served.page), ("GET", "HEAD")))
        router.routes.append(http_door(f"{url}.json", request_response(served.json), ("GET", "HEAD")))
    return router


class _Rendered:
    """What one app says of its hub, made once: all but the servers, which depend on where the client asks."""

    def __init__(self, app: FastAPI, described: Object, servers: Object, source: str) -> None:
        head = _json(document(app, {}))
        self._json = head[:-1], _json(described)[1:]
        self._page = Page(document(app, described, servers), source)
        content = b"".join((*self._json, self._page.text({}).encode()))
        self._digest = hashlib.sha256(content).hexdigest()[:20]

    def json(self, servers: Object) -> bytes:
        before, after = self._json
        return b"".join((before, b',"servers":', _json(servers), b",", after))

    def page(self, servers: Object) -> bytes:
        return self._page.text(servers).encode()

    def tag(self, servers: Object) -> str:
        """The ``ETag`` of both."""
        return f'"{self._digest}-{zlib.crc32(_json(servers)):08x}"'


class _Served:
    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._registry = registry
        self._settings = settings
        self._rendered: dict[tuple[str, ...], _Rendered] = {}
        self._described: Object = {}
        self._state: tuple[Any, ...] | None = None

    async def page(self, request: Request) -> Response:
        servers = self._servers(request, self._settings.asyncapi_url)
        rendered = self._render(request.app, servers)
        headers = {"content-security-policy": CONTENT_POLICY}
        return _answer(request, rendered.tag(servers), lambda: rendered.page(servers), "text/html", headers)

    async def json(self, request: Request) -> Response:
        servers = self._servers(request, f"{self._settings.asyncapi_url}.json")
        rendered = self._render(request.app, servers)
        return _answer(request, rendered.tag(servers), lambda: rendered.json(servers), "application/json", {})

    def _render(self, app: FastAPI, servers: Object) -> _Rendered:
        """What is made anew only when something was declared, or the app was named otherwise."""
        registry = self._registry
        state = (*registry.catalogue, *registry.methods.items(), *registry.handlers)
        if state != self._state:
            self._described, self._state = describe(registry), state
            self._rendered.clear()
        names = (app.title, app.version, app.description)
        if names not in self._rendered:
            source = f"{self._settings.asyncapi_url.rpartition('/')[2]}.json"
            self._rendered[names] = _Rendered(app, self._described, servers, source)
        return self._rendered[names]

    def _servers(self, request: Request, path: str) -> Object:
        registry, url = self._registry, request.url
        token = registry.auth is not None and registry.on_connect is None and not self._settings.allow_anonymous
        return servers(url.netloc, _base(request, path), secure=url.scheme == "https", token=token)


def _answer(request: Request, tag: str, content: Callable[[], bytes], kind: str, headers: dict[str, str]) -> Response:
    """The content, or 304 for a client that has it."""
    headers = {**headers, "etag": tag, "cache-control": "no-cache"}
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if tag in known:
        return Response(status_code=304, headers=headers)
    return Response(content(), headers=headers, media_type=kind)


def _json(value: Object) -> bytes:
    return to_json(value, inf_nan_mode="null")


def _base(request: Request, path: str) -> str:
    """The path below which the hub's router is, as clients see it."""
    root = request.scope.get("root_path", "").rstrip("/")
    base = request.url.path.removesuffix(path)
    # Servers tell a proxy's prefix in the path, and apps that were told of it in root_path alone.
    return base if f"{base}/".startswith(f"{root}/") else root + base

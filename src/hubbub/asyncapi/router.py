"""Where the document and its page are served."""

from typing import Any

from fastapi import APIRouter
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import request_response

from hubbub.asyncapi.document import describe, document
from hubbub.asyncapi.page import CONTENT_POLICY, page
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


class _Served:
    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._registry = registry
        self._settings = settings
        self._described: Object = {}
        self._state: tuple[Any, ...] | None = None

    async def page(self, request: Request) -> Response:
        source = f"{self._settings.asyncapi_url.rpartition('/')[2]}.json"
        content = page(self._document(request, self._settings.asyncapi_url), source)
        return HTMLResponse(content, headers={"content-security-policy": CONTENT_POLICY})

    async def json(self, request: Request) -> Response:
        content = to_json(self._document(request, f"{self._settings.asyncapi_url}.json"), inf_nan_mode="null")
        return Response(content, media_type="application/json")

    def _document(self, request: Request, path: str) -> Object:
        registry = self._registry
        state = (*registry.catalogue, *registry.methods.items(), *registry.handlers)
        if state != self._state:
            self._described, self._state = describe(registry), state
        token = registry.auth is not None and registry.on_connect is None and not self._settings.allow_anonymous
        url = request.url
        reached = servers(url.netloc, _base(request, path), secure=url.scheme == "https", token=token)
        return document(request.app, self._described, reached)


def _base(request: Request, path: str) -> str:
    """The path below which the hub's router is, as clients see it."""
    root = request.scope.get("root_path", "").rstrip("/")
    base = request.url.path.removesuffix(path)
    # Servers tell a proxy's prefix in the path, and apps that were told of it in root_path alone.
    return base if f"{base}/".startswith(f"{root}/") else root + base

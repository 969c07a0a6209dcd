"""What the app declares, as an AsyncAPI document and as a page to read."""

from hubbub.asyncapi.document import Info, describe, document
from hubbub.asyncapi.router import asyncapi_router

__all__ = ["Info", "asyncapi_router", "describe", "document"]

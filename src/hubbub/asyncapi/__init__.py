"""What the app declares, as an AsyncAPI document and as a page to read."""

from hubbub.asyncapi.document import describe, document
from hubbub.asyncapi.page import FRAME
from hubbub.asyncapi.router import asyncapi_router

__all__ = ["FRAME", "asyncapi_router", "describe", "document"]

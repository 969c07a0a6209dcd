"""The HTTP API: publishing and control for other programs."""

from hubbub.api.router import api_router

__all__ = ["api_router"]

"""The public door of the fast path: ``uvicorn app:app --ws hubbub.wire:Protocol``."""

from hubbub.transports.http import HttpProtocol
from hubbub.transports.wire import Protocol

__all__ = ["HttpProtocol", "Protocol"]

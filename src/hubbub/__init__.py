"""Real-time for FastAPI: rooms, notifications and streams that survive production."""

from hubbub.app import Hub
from hubbub.brokers.base import Broker, History, Retention
from hubbub.errors import Disconnect, Goodbye, HubbubError, UsageError
from hubbub.hub.client import Client, ClientInfo
from hubbub.protocol.position import Position
from hubbub.protocol.publication import Publication
from hubbub.settings import Settings

__all__ = [
    "Broker",
    "Client",
    "ClientInfo",
    "Disconnect",
    "Goodbye",
    "History",
    "Hub",
    "HubbubError",
    "Position",
    "Publication",
    "Retention",
    "Settings",
    "UsageError",
]

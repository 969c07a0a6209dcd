"""Real-time for FastAPI: rooms, notifications and streams that survive production."""

from hubbub.app import Hub
from hubbub.auth import JWT, Auth, Grant, Identity
from hubbub.brokers.base import Broker, History, Retention
from hubbub.errors import Disconnect, Goodbye, HubbubError, UsageError
from hubbub.hub.client import Client, ClientInfo
from hubbub.protocol.position import Position
from hubbub.protocol.publication import Publication
from hubbub.settings import Settings

__all__ = [
    "JWT",
    "Auth",
    "Broker",
    "Client",
    "ClientInfo",
    "Disconnect",
    "Goodbye",
    "Grant",
    "History",
    "Hub",
    "HubbubError",
    "Identity",
    "Position",
    "Publication",
    "Retention",
    "Settings",
    "UsageError",
]

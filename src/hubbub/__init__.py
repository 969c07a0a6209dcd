"""Real-time for FastAPI: rooms, notifications and streams that survive production."""

from hubbub.app import Hub
from hubbub.auth import JWT, Auth, Grant, Identity, TokenUser
from hubbub.brokers.base import Broker, History, Retention
from hubbub.declared import Channel, MapChannel, PollChannel
from hubbub.errors import CommandError, Disconnect, Forbidden, Goodbye, HubbubError, UsageError
from hubbub.hub.client import Client, ClientInfo
from hubbub.hub.dependencies import SessionInfo, current_session
from hubbub.hub.handlers import Data
from hubbub.hub.polls import Polled
from hubbub.protocol.position import Position
from hubbub.protocol.publication import Member, Publication
from hubbub.settings import Settings

__all__ = [
    "JWT",
    "Auth",
    "Broker",
    "Channel",
    "Client",
    "ClientInfo",
    "CommandError",
    "Data",
    "Disconnect",
    "Forbidden",
    "Goodbye",
    "Grant",
    "History",
    "Hub",
    "HubbubError",
    "Identity",
    "MapChannel",
    "Member",
    "PollChannel",
    "Polled",
    "Position",
    "Publication",
    "Retention",
    "SessionInfo",
    "Settings",
    "TokenUser",
    "UsageError",
    "current_session",
]

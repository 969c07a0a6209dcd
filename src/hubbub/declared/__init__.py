"""What the app declared on its hub, as it uses it: one module for each type of channel."""

from hubbub.declared.base import DeclaredChannel
from hubbub.declared.map import MapChannel
from hubbub.declared.poll import PollChannel
from hubbub.declared.stream import Channel

__all__ = ["Channel", "DeclaredChannel", "MapChannel", "PollChannel"]

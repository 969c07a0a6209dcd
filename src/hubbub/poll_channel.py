"""One declared polled channel, as the app uses it."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from hubbub.channel import DeclaredChannel
from hubbub.errors import UsageError
from hubbub.hub.declaration import Declaration
from hubbub.hub.handlers import Handler
from hubbub.hub.kinds.shared_poll import SharedPoll
from hubbub.hub.polls import FunctionSource
from hubbub.hub.polls.sources import value_of
from hubbub.protocol.publication import encode

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

"""Polling: keys whose newest values the hub asks for, as long as a session tracks them."""

from hubbub.hub.polls.board import Tracker
from hubbub.hub.polls.poller import Poller
from hubbub.hub.polls.rules import PollRules, check_poll_rules
from hubbub.hub.polls.sources import Answer, BackendSource, FunctionSource, Polled, Source, TrackedKey

__all__ = [
    "Answer",
    "BackendSource",
    "FunctionSource",
    "PollRules",
    "Polled",
    "Poller",
    "Source",
    "TrackedKey",
    "Tracker",
    "check_poll_rules",
]

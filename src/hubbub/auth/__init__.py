"""Who connects, and what a subscription is given."""

from hubbub.auth.base import Auth, Grant, Identity, Override
from hubbub.auth.bearer import TokenUser
from hubbub.auth.jwt import JWT

__all__ = ["JWT", "Auth", "Grant", "Identity", "Override", "TokenUser"]

"""What one subscription gets of what its channel offers, its request asks for and its grant overrides."""

from typing import TYPE_CHECKING

from hubbub.auth.base import Grant
from hubbub.channels import Rules
from hubbub.errors import InvalidRequest
from hubbub.hub.subscription import Subscription
from hubbub.protocol.commands import FilterNode, SubscribeRequest
from hubbub.protocol.filters import Filter

if TYPE_CHECKING:
    from hubbub.hub.session import Session

FOSSIL = "fossil"
"""The one kind of deltas that there is."""


class Features:
    """What subscriptions of all types can have. A filter and deltas exclude each other: what is left out is no base."""

    __slots__ = ("delta", "filter", "join_leave", "presence", "pushes_presence")

    def __init__(self, session: "Session", rules: Rules, request: SubscribeRequest, grant: Grant) -> None:
        override = grant.override
        self.presence = either(override.presence, rules.presence)
        self.join_leave = either(override.join_leave, bool(rules.join_leave))
        self.pushes_presence = either(override.force_push_join_leave, rules.join_leave == "force") or (
            request.join_leave and self.join_leave and session.may(rules.may_see_presence, subscribed=True)
        )
        self.filter = _filter(rules, request.tf)
        self.delta = request.delta == FOSSIL and rules.delta and self.filter is None

    @property
    def flags(self) -> int:
        """What of it the subscription keeps."""
        present = Subscription.PRESENT if self.presence else 0
        return present | (Subscription.JOIN_LEAVE if self.join_leave else 0)


def either(override: bool | None, rule: bool) -> bool:
    """What the grant says, or else the rule."""
    return rule if override is None else override


def _filter(rules: Rules, node: FilterNode | None) -> Filter | None:
    if node is None:
        return None
    if not rules.tags_filter:
        raise InvalidRequest
    try:
        return Filter.parse(node)
    except ValueError as error:
        raise InvalidRequest(f"bad request: {error}") from None

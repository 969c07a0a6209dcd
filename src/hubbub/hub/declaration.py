"""What an app declares: channels with rules and handlers, and who decides on what a session may do."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hubbub.auth.base import Grant
from hubbub.channels import PRIVATE_PREFIX, Pattern, Rules, allowed_users
from hubbub.errors import Forbidden, InvalidRequest, UsageError
from hubbub.hub.handlers import Handler
from hubbub.hub.kinds.base import Kind
from hubbub.hub.messages import MessageType
from hubbub.hub.subscription import Subscription
from hubbub.protocol.commands import PublishRequest, SubscribeRequest
from hubbub.protocol.publication import NO_DATA, Payload, encode, encode_for_sessions
from hubbub.protocol.schema import NOTHING

if TYPE_CHECKING:
    from hubbub.hub.session import Session


class Declaration:
    """The channels of one pattern: their rules, their type, and the app's handlers.

    Raises:
        UsageError: each user is to have a channel of its own, and the pattern has no place for the user.
    """

    def __init__(self, pattern: Pattern, rules: Rules, kind: Kind, message: MessageType | None = None) -> None:
        if rules.personal and len(pattern.parameters) != 1:
            raise UsageError(
                f"channel {pattern.text!r} is personal: give it one parameter, the user, as in '#{{user}}'"
            )
        self.pattern = pattern
        self.rules = rules
        self.kind = kind
        self.message = message
        """What everything that is published must be; None: anything."""
        self.on_subscribe: Handler | None = None
        self.on_publish: Handler | None = None

    async def admit(self, session: "Session", parameters: Mapping[str, str], request: SubscribeRequest) -> Grant:
        """What a client that asks to subscribe is granted.

        A token decides alone; without one, a name that is limited to users; then the app's handler; then the rules.

        Raises:
            CommandError: it may not.
            InvalidToken: the token is for another channel or user.
        """
        channel = request.channel
        if request.token:
            return await session.authorize(request.token, channel)
        if channel.startswith(PRIVATE_PREFIX):
            raise Forbidden
        among_few = self._is_meant_for(session.user, channel)
        if self.rules.personal and not self.rules.user_limited:  # the server alone lets in
            raise Forbidden
        if among_few and self.on_subscribe is None:
            return Grant()
        if self.on_subscribe is not None:
            data = b"" if request.data is NOTHING else session.codec.payload(request.data)
            granted = await session.call(self.on_subscribe, parameters, {"channel": channel}, data)
            if granted is not None and not isinstance(granted, Grant):
                raise UsageError(
                    f"on_subscribe of {self.pattern.text!r} returned {granted!r}; return None or a Grant to let the "
                    "client in, or raise Forbidden to refuse"
                )
            return Grant() if granted is None else granted.encoded()
        self.ensure_may(session, "may_subscribe", subscribed=False)
        return Grant()

    def ensure_may(self, session: "Session", rule: str, *, subscribed: bool) -> None:
        """Refuses who is not one of those that a rule names.

        Raises:
            Forbidden: that.
        """
        who = getattr(self.rules, rule)
        if session.may(who, subscribed=subscribed):
            return
        handler = rule.replace("may", "on")
        session.engine.registry.advice.give(
            (self.pattern.text, rule),
            "%s of the channel %r is %r, and a client is none of these: it is refused with 103. "
            "Declare the channel with another %s%s.",
            rule,
            self.pattern.text,
            who,
            rule,
            f", or decorate a function with its {handler}" if hasattr(self, handler) else "",
        )
        raise Forbidden

    def ensure_meant_for(self, session: "Session", channel: str) -> None:
        """Refuses who is neither in a channel nor one of the users that its name is for.

        Raises:
            Forbidden: that.
        """
        if channel not in session.subscriptions:
            self._is_meant_for(session.user, channel)

    def _is_meant_for(self, user: str, channel: str) -> bool:
        """Whether a name is for this user among few; False if it is for anybody.

        Raises:
            Forbidden: it is for others.
        """
        if self.rules.personal:  # a user's name may look like a list
            users, among = [user], self.pattern.match(channel) == {self.pattern.parameters[0]: user}
        else:
            users = allowed_users(channel) if self.rules.user_limited else []
            among = user in users
        if users and not (user and among):
            raise Forbidden
        return bool(users)

    async def accept(
        self,
        session: "Session",
        channel: str,
        parameters: Mapping[str, str],
        request: PublishRequest,
        subscription: Subscription | None,
        **known: str,
    ) -> Payload:
        """What is published for a client that asks to. Handlers may take what is ``known`` besides the channel.

        Raises:
            CommandError: it may not, or the data is wrong, such as bytes where all subscribers are to read JSON.
        """
        if self.on_publish is None:
            self.ensure_may(session, "may_publish", subscribed=subscription is not None)
        payload: Payload = NO_DATA if request.data is NOTHING else session.codec.payload(request.data)
        self.ensure_carries(payload)
        if self.on_publish is None:
            return self.ensured(payload)
        changed = await session.call(self.on_publish, parameters, {"channel": channel, **known}, payload)
        if isinstance(changed, bool):
            raise UsageError(
                f"on_publish of {self.pattern.text!r} returned {changed!r}; return None to publish what came, "
                "something else to publish that, or raise Forbidden to refuse"
            )
        if changed is None:
            return self.ensured(payload)
        return self.encode(changed, f"what on_publish of {self.pattern.text!r} returned")

    def encode(self, data: Any, where: str) -> Payload:
        """What the app publishes, as it is published.

        Raises:
            UsageError: it has no JSON form, is not of the message type, or is bytes that are not JSON where all
                subscribers are to read JSON.
        """
        return self.checked(data, encode(data), where)

    def checked(self, data: Any, encoded: Payload, where: str) -> Payload:
        """As ``encode``, of what is encoded already."""
        payload = encode_for_sessions(encoded, where, binary=self.rules.binary)
        if self.message is not None:
            self.message.ensure_of_app(payload if isinstance(encoded, bytes) else data, where)
        return payload

    def ensured(self, payload: Payload) -> Payload:
        """What a client or another program publishes, if it is of the message type.

        Raises:
            InvalidRequest: it is not.
        """
        if self.message is not None:
            self.message.ensure_of_client(payload)
        return payload

    def ensure_carries(self, payload: Payload) -> None:
        """Refuses bytes where all subscribers are to read JSON.

        Raises:
            InvalidRequest: that.
        """
        if isinstance(payload, bytes) and not self.rules.binary:
            raise InvalidRequest("bad request: the data is not JSON")

"""What an app has declared on its hub, before and while it runs."""

import logging
from collections.abc import Iterator, Mapping

from hubbub.auth.base import Auth
from hubbub.channels import Catalogue
from hubbub.errors import InvalidRequest, MethodNotFound, NotAvailable, UnknownChannel, UsageError
from hubbub.hub.advice import Advice
from hubbub.hub.declaration import Declaration
from hubbub.hub.handlers import Handler
from hubbub.hub.kinds.base import Kind

_log = logging.getLogger("hubbub")


class Registry:
    """Channels, RPC methods and how to know who connects."""

    def __init__(self, auth: Auth | None = None) -> None:
        self.auth = auth
        self.catalogue: Catalogue[Declaration] = Catalogue()
        self.methods: dict[str, Handler] = {}
        self.on_connect: Handler | None = None
        self.advice = Advice()

    @property
    def kinds(self) -> list[Kind]:
        """The types of channels that are declared, each once."""
        return list(dict.fromkeys(declaration.kind for declaration in self.catalogue))

    @property
    def handlers(self) -> Iterator[Handler]:
        """All functions of the app."""
        if self.on_connect is not None:
            yield self.on_connect
        yield from self.methods.values()
        for declaration in self.catalogue:
            yield from (one for one in (declaration.on_subscribe, declaration.on_publish) if one is not None)

    @property
    def runs_code(self) -> bool:
        """Whether code of the app runs for the commands of sessions."""
        return self.auth is not None or any(True for _ in self.handlers)

    @property
    def needs_connection(self) -> bool:
        """Whether a function of the app looks at the connection, so that sessions must keep it."""
        return any(handler.needs_connection for handler in self.handlers)

    def add_method(self, name: str, handler: Handler) -> None:
        """Declares an RPC method.

        Raises:
            UsageError: there is one of this name.
        """
        if name in self.methods:
            raise UsageError(f"the RPC method {name!r} is declared already")
        self.methods[name] = handler

    def method(self, name: str) -> Handler:
        """The RPC method of a name.

        Raises:
            NotAvailable: there are no methods.
            MethodNotFound: there is none of this name.
        """
        if not self.methods:
            raise NotAvailable
        handler = self.methods.get(name)
        if handler is None:
            raise MethodNotFound
        return handler

    def find(self, channel: str) -> tuple[Declaration, Mapping[str, str]]:
        """What is declared for a channel of a client, and the parameters in its name.

        Raises:
            UnknownChannel: nothing is.
            InvalidRequest: the name is not ASCII.
        """
        try:
            found = self.catalogue.find(channel)
        except UnknownChannel:
            declared = ", ".join(repr(declaration.pattern.text) for declaration in self.catalogue)
            self.advice.give(
                "unknown channel",
                "a client asked for channel %.80r, which is not declared: it is refused with 102. Declared are: %s.",
                channel,
                declared or "none; declare one with hub.channel",
            )
            raise
        if not channel.isascii():
            raise InvalidRequest
        return found

    def personal_channels(self, user: str, longest: int) -> list[str]:
        """The channels that a user is in from its connect on.

        A user whose name does not fit into a channel's, which has ``longest`` characters at most, has none; it
        connects without, and the log says so.
        """
        channels = []
        for declaration in self.catalogue:
            if declaration.rules.personal:
                pattern = declaration.pattern
                try:
                    channel = pattern.name({pattern.parameters[0]: user})
                except UsageError:
                    channel = ""
                if channel.isascii() and 0 < len(channel) <= longest:
                    channels.append(channel)
                else:
                    _log.warning("the user %.80r has no channel %s: its name does not fit there", user, pattern.text)
        return channels

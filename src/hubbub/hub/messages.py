"""The declared type of what is published in channels: ``hub.channel("chat:{room}", message=ChatMessage)``."""

from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from hubbub.errors import UsageError
from hubbub.hub.refusals import invalid
from hubbub.protocol.halves import without_halves
from hubbub.protocol.publication import Json, Payload


class MessageType:
    """A type that everything published in the channels of a pattern has. What fits is published as it came.

    Raises:
        UsageError: Pydantic cannot validate it, or it is bytes, which are not JSON.
    """

    def __init__(self, kind: Any) -> None:
        if kind is bytes:
            raise UsageError("message is bytes, which are not JSON; leave it out, and say binary=True")
        self.kind = kind
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(kind)
        except PydanticUserError as error:
            raise UsageError(
                f"message: Pydantic cannot validate {kind!r} ({str(error).splitlines()[0]}); give a model"
            ) from None

    def ensure_of_app(self, data: Any, where: str) -> None:
        """Refuses what the app publishes and does not fit: neither of the type, nor what it can be made of.

        Raises:
            UsageError: that.
        """
        if type(data) is self.kind:
            return
        try:
            if isinstance(data, Json):
                self._adapter.validate_json(data)
            else:
                self._adapter.validate_python(data)
        except ValidationError as error:
            told = invalid(error.errors(include_url=False, include_input=False), "data").message
            raise UsageError(f"{where} is not of the channel's message type: {told}") from None

    def ensure_of_client(self, payload: Payload) -> None:
        """Refuses what a client, or another program, publishes and does not fit.

        Raises:
            InvalidRequest: that; its message names the field, and repeats no value.
        """
        try:
            self._adapter.validate_json(without_halves(payload) or b"null")
        except ValidationError as error:
            raise invalid(error.errors(include_url=False, include_input=False), "data") from None

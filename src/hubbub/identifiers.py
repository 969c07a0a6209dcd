"""What the app names things by: users, channels, clients and keys are text, and checked where they come in.

42 and "42" are different keys of every table here, and the same user to a database. So nothing but text is taken:
what was taken for something else could not be found again.
"""

from enum import Enum
from uuid import UUID

from hubbub.errors import UsageError


def ensure_text(value: object, what: str) -> None:
    """Refuses an identifier that is no text, or that no message could hold, as of a subclass of ``str``.

    Args:
        value: the identifier.
        what: what to call it in the error, such as "channel".

    Raises:
        UsageError: it is of another type than ``str`` or an enum of it, or has half a surrogate pair.
    """
    if type(value) is not str and not (isinstance(value, str) and isinstance(value, Enum)):
        kind = f"a {type(value).__name__} and no plain text" if isinstance(value, str) else "no text"
        raise UsageError(f"{what} is {value!r:.80}, which is {kind}; give {_remedy(value)}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"{what} is {value!r:.80}: half a surrogate pair has no UTF-8 form; "
                'take it out, as text.encode(errors="replace").decode() does'
            ) from None


def text_of(value: object, what: str) -> str:
    """The text that stands in a channel's name for a parameter of its pattern.

    That of a text, a whole number, a UUID, or an enum of these: handlers get the same value back from the name.

    Raises:
        UsageError: it is of another type.
    """
    if isinstance(value, Enum):
        return text_of(value.value, what)
    if isinstance(value, bool) or not isinstance(value, str | int | UUID):
        raise UsageError(f"{what} is {value!r:.80}; give text, a whole number or a UUID")
    return str(value)


def _remedy(value: object) -> str:
    if value is None:
        return "'' for none"
    if isinstance(value, bytes | bytearray | memoryview):
        return "its text: ….decode()"
    return f"str({value!r:.80})"

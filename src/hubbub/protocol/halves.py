r"""Half a surrogate pair in JSON: what ``JSON.stringify`` writes for text that was cut within an emoji.

``"\ud83d"`` is JSON (RFC 8259 §8.2), but it stands for no text that has a UTF-8 form, so strict parsers refuse all
that it is in. Here data that is passed on keeps the escape as it came, and what is read as text has U+FFFD instead,
as Go's and JavaScript's decoders have.
"""

import re
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, TypeVar

from msgspec import DecodeError, Raw, Struct

ReadT = TypeVar("ReadT")

REPLACEMENT = "\ufffd"
"""What stands for text that was lost."""

_MOST_ITEMS = 2048
"""Items of lists and maps that are looked into in one command, since each takes microseconds."""

_FIRST, _SECOND = r"[dD][89abAB][0-9a-fA-F]{2}", r"[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF = re.compile(rf"\\u{_FIRST}(?!\\u{_SECOND})|(?<!\\u{_FIRST})\\u{_SECOND}")
_START = re.compile(rf"\\u(?={_FIRST}(?!\\u{_SECOND})|(?<!\\u{_FIRST}\\u){_SECOND})")
"""A half, and the ``\\u`` of one, where no backslash is escaped any more."""
_BACKSLASH, _HIDDEN = "\\\\", "\0\0"
"""An escaped backslash, and what no JSON text has."""


def without_halves(text: str | bytes) -> str | bytes:
    """JSON text as every parser reads it. Bytes, which are for no parser of text, stay as they are."""
    return text if isinstance(text, bytes) or not _may_have(text) else _replaced(_HALF, r"\\ufffd", text)


def read(parse: Callable[[str | bytes], ReadT], text: str | bytes) -> ReadT:
    """What ``parse``, a decoder of msgspec, makes of a text that may have halves.

    ``Raw`` has them as they came, text U+FFFD instead.

    Raises:
        ValueError: it holds something else, or halves and more items in lists and maps than are looked into.
    """
    try:
        return parse(text)
    except DecodeError:
        whole = text.decode() if isinstance(text, bytes) else text
        if not _may_have(whole):
            raise
    # A mark that the text does not have: it would have to have its own hash.
    mark = f"~{blake2b(whole.encode(), digest_size=8).hexdigest()}"
    return _Marked(mark).unmarked(parse(_replaced(_START, mark, whole)))  # type: ignore[no-any-return]


def _may_have(text: str) -> bool:
    return "\\ud" in text or "\\uD" in text


def _replaced(what: re.Pattern[str], by: str, text: str) -> str:
    """In few passes, without a call for each: a message may be full of halves."""
    if _HIDDEN[0] in text:  # it is no JSON, and must not become any
        return text
    return what.sub(by, text.replace(_BACKSLASH, _HIDDEN)).replace(_HIDDEN, _BACKSLASH)


class _Marked:
    """Turns marks back, each in front of the four digits of a half, in all that was decoded."""

    def __init__(self, mark: str) -> None:
        self._left = _MOST_ITEMS
        self._mark, self._raw_mark = mark, mark.encode()
        self._text = re.compile(mark + "....")

    def unmarked(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text.sub(REPLACEMENT, value) if self._mark in value else value
        if isinstance(value, Raw):
            raw = bytes(value)
            return Raw(raw.replace(self._raw_mark, b"\\u")) if self._raw_mark in raw else value
        if isinstance(value, list | tuple | dict):
            self._left -= len(value)
            if self._left < 0:
                raise ValueError(f"more than {_MOST_ITEMS} items, and half a surrogate pair among them")
        if isinstance(value, list | tuple):
            return type(value)([self.unmarked(one) for one in value])
        if isinstance(value, dict):
            return {self.unmarked(name): self.unmarked(one) for name, one in value.items()}
        if isinstance(value, Struct):
            for name in value.__struct_fields__:
                part = getattr(value, name)
                if part:  # most have nothing
                    setattr(value, name, self.unmarked(part))
        return value

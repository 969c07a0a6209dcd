"""HTML made of elements, which escape whatever is not HTML already: nothing that an app is named can get out."""

import html
import re
from collections.abc import Iterable


class Html(str):
    """Text that is HTML, because ``element`` or ``joined`` made it."""

    __slots__ = ()


def element(name: str, *content: str, **attributes: str) -> Html:
    """An element. Attributes whose names are words of Python's end in an underscore; empty ones are left out."""
    said = "".join(f' {key.rstrip("_")}="{html.escape(value)}"' for key, value in attributes.items() if value)
    return Html(f"<{name}{said}>{joined(content)}</{name}>")


def joined(content: Iterable[str], separator: str = "") -> Html:
    """One after the other, escaped where need be."""
    return Html(html.escape(separator).join(part if isinstance(part, Html) else html.escape(part) for part in content))


def paragraphs(text: str) -> Html:
    """Prose such as a docstring's: paragraphs, of which those with indented lines keep them, and code in backticks."""
    blocks = (block.strip("\n") for block in re.split(r"\n\s*\n", text) if block.strip())
    kept = re.compile(r"^\s", re.MULTILINE)
    return joined(element("p", _with_code(block), class_="kept" if kept.search(block) else "") for block in blocks)


def _with_code(text: str) -> Html:
    pieces = re.split(r"`+([^`]+)`+", text)
    return joined(element("code", piece) if number % 2 else piece for number, piece in enumerate(pieces))

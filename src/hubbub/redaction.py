"""Text that a peer has chosen, made fit for a log: without secrets, and on one line.

Every pattern is linear in the text, since a peer chooses its length: what one match attempt reads, no other reads
again. Encoded values are decoded a few times; what is still encoded after that is hidden.
"""

import re
from urllib.parse import unquote, unquote_plus

HIDDEN = "***"

# Browsers leave an apostrophe as it is, so one within a value is a part of it.
_PARAMETER = re.compile(r"""([?&;#])([^=?&;#\s"'<>]+)=((?:[^&;\s"'#]|'(?=[\w%~!*(.-]))+)""")
_NESTED = re.compile(r"\?([^=?]+)=")
_MEMBER = re.compile(r"""(?<!\\)(\\*+)(["'])([^"'\\\s:]+)\1\2\s*:\s*""")
_VALUE = re.compile(
    r"""\\++(["'])(?:(?!\1).)*+\1?|"(?:[^"\\]|\\.?)*+"?|'(?:[^'\\]|\\.?)*+'?"""
    r"""|[\[{](?:[^][{}"'\\]|"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+')*+[]}]|[\[{].*+|[^\s,}\]]+""",
    re.DOTALL,
)
"""Of a list or an object with others in it, all that follows is hidden: nothing here counts brackets."""
_USER = re.compile(r"(//[^\s/:@?#]*:)[^\s/@?#]+@")
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{5,}\.[\w-]+\.[\w-]*")
_AUTHORIZATION = re.compile(r"\b(Bearer|Basic) [^\s,;\"']{4,}")
_SEPARATORS = re.compile(r"[?&;#\s]")
_BRACKETS = re.compile(r"[\[\].]+")
_SECRET = re.compile(
    r"token|secret|password|passwd|passphrase|api[-_]?key|signature|ticket|jwt|credential|cookie"
    r"|^(?:auth|(?:proxy-)?authorization|key|sig|session|sid|code|pwd|cf_connect|sec-websocket-protocol)$",
    re.IGNORECASE,
)
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_CONTROL_IN_LINES = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LAYERS = 4
"""How often a value may be encoded: more often, and it is hidden unread."""


def redact(text: str) -> str:
    """``text`` with secrets as ``***``: values of parameters and members of JSON, passwords in addresses, tokens."""
    if "=" in text:
        text = _PARAMETER.sub(_hide_parameter, text)
    if ":" in text:
        text = _USER.sub(rf"\1{HIDDEN}@", _hide_members(text))
    text = _AUTHORIZATION.sub(rf"\1 {HIDDEN}", text)
    return _JWT.sub(HIDDEN, text) if "eyJ" in text else text


def one_line(text: str) -> str:
    """``text`` with control characters, line breaks and what turns the direction of writing as escapes."""
    return _CONTROL.sub(_escape, text)


def lines(text: str) -> str:
    """As ``one_line``, for text that has line breaks of its own: these and tabs stay."""
    return _CONTROL_IN_LINES.sub(_escape, text)


def is_secret(name: str) -> bool:
    """Whether a parameter, member or header of this name carries a secret: ``token``, ``user[key]``, ``a%5Fkey``."""
    for _ in range(_LAYERS):
        if any(_SECRET.search(part) for part in _BRACKETS.split(name)):
            return True
        decoded = unquote(name)
        if decoded == name:
            return False
        name = decoded
    return True


def _hide_parameter(parameter: re.Match[str]) -> str:
    mark, name, value = parameter.groups()
    if is_secret(name):
        return f"{mark}{name}={HIDDEN}"
    for nested in _NESTED.finditer(value):  # an address as the value, with a query of its own
        if is_secret(nested[1]):
            return f"{mark}{name}={value[: nested.end()]}{HIDDEN}"
    return f"{mark}{name}={HIDDEN}" if "%" in value and _holds_secret(unquote_plus(value)) else parameter[0]


def _holds_secret(value: str) -> bool:
    """Whether a decoded value has a secret in it: an address, a form, or JSON."""
    for _ in range(_LAYERS):
        pairs = (piece.partition("=") for piece in _SEPARATORS.split(value))
        if any(text and is_secret(name) for name, _, text in pairs):
            return True
        if any(is_secret(member[3]) for member in _MEMBER.finditer(value)) or _USER.search(value) or _JWT.search(value):
            return True
        decoded = unquote_plus(value)
        if decoded == value:
            return False
        value = decoded
    return True


def _hide_members(text: str) -> str:
    """Looks into the values that are no secrets as well: they may be JSON of their own."""
    pieces, shown = [], 0
    for member in _MEMBER.finditer(text):
        value = _VALUE.match(text, member.end()) if member.start() >= shown and is_secret(member[3]) else None
        if value is not None:
            pieces += [text[shown : member.end()], HIDDEN]
            shown = value.end()
    return "".join([*pieces, text[shown:]])


def _escape(control: re.Match[str]) -> str:
    return control[0].encode("unicode_escape").decode("ascii")

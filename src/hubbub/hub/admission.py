"""Who may connect at all: the Origin of the page, and how many there are already."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from hubbub.errors import OriginRefused, TooManyConnections, TooManyHeaders

_LABELS = re.compile(r"[\w-]+(\.[\w-]+)*", re.ASCII)
_DEFAULT_PORTS = {"http": ":80", "ws": ":80", "https": ":443", "wss": ":443"}


def ensure_origin_allowed(origins: Sequence[str], host: str | None, allowed: Iterable[str]) -> None:
    """Refuses pages of other origins (RFC 6455 §10.2); the server's own and the listed ones may connect.

    A request without Origin does not come from a browser's page, so no cookie of a victim comes with it: it
    passes. The scheme is not compared: behind a proxy that ends TLS the server does not know its own.

    Raises:
        OriginRefused: there are several origins, or the page's is neither the server's nor in ``allowed``.
    """
    if not origins:
        return
    if len(origins) > 1:
        raise OriginRefused("more than one Origin header")
    origin = origins[0].lower()
    scheme, _, authority = origin.partition("://")
    if authority and host is not None:
        port = _DEFAULT_PORTS.get(scheme, "")
        if authority.removesuffix(port) == host.lower().removesuffix(port):
            return
    if not any(_covers(entry, origin) for entry in allowed):
        raise OriginRefused(f"origin {origin!r} is not allowed; HUBBUB_ALLOWED_ORIGINS lists those that are")


def _covers(entry: str, origin: str) -> bool:
    before, star, after = entry.partition("*")
    if not star or entry == "*":
        return bool(star) or origin == entry
    # The star stands for labels of a host name, not for whatever text comes before the domain.
    within = origin.startswith(before) and origin.endswith(after)
    return within and _LABELS.fullmatch(origin, len(before), len(origin) - len(after)) is not None


def ensure_not_cross_site(origins: Sequence[str], fetch_site: str | None) -> None:
    """Refuses requests that a page of another site makes without an Origin, as images and navigations do.

    They come with the victim's cookies, and an endpoint that does something for a GET would do it for the page.
    Browsers say where a request comes from (Fetch Metadata, W3C); what is no browser says nothing.

    Raises:
        OriginRefused: it is one.
    """
    if not origins and fetch_site in ("cross-site", "same-site"):
        raise OriginRefused("a page of another site asks, without an Origin")


def ensure_few_headers(count: int, limit: int) -> None:
    """Raises:
    TooManyHeaders: there are more than ``limit``.
    """
    if count > limit:
        raise TooManyHeaders(f"{count} header fields; HUBBUB_MAX_REQUEST_HEADERS allows {limit}")


class Admission:
    """Counts the live clients, in total and for each address."""

    def __init__(self, max_connections: int, max_per_address: int) -> None:
        self._max = max_connections
        self._max_per_address = max_per_address
        self._total = 0
        self._addresses: Counter[str] = Counter()

    def enter(self, address: str) -> None:
        """Counts one more. An empty address is unknown: such clients are limited in total alone.

        Raises:
            TooManyConnections: there are as many as there may be; nothing was counted.
        """
        if self._total >= self._max:
            raise TooManyConnections(f"the server holds {self._max} connections already")
        if self._max_per_address and address:
            if self._addresses[address] >= self._max_per_address:
                raise TooManyConnections(f"{self._max_per_address} connections from one address already")
            self._addresses[address] += 1
        self._total += 1

    def leave(self, address: str) -> None:
        """Counts one less."""
        self._total -= 1
        if self._max_per_address and address:
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]

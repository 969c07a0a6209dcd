"""Public keys that their issuer publishes under a URL, and changes when it likes (RFC 7517).

A key is looked up by its id. The set is fetched when it is old, and when an id is not in it: the issuer may
have a new key. Anybody can make up ids, so the issuer is not asked more often than once in a pause. Who asks
meanwhile is not told that the key does not exist, since nobody knows; it may come back.

The issuer's answer has one deadline for all of it and a bound on its size. A key that is known is good until the
issuer has answered without it: tokens of known keys wait for a fetch, so that a withdrawn key is noticed, but only
for a moment.
"""

import asyncio
import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from hubbub.auth.download import download
from hubbub.auth.keys import Key, from_jwk
from hubbub.errors import InternalError, UsageError

LIFETIME = 300.0
"""Seconds after which the keys are fetched anew."""
PAUSE = 10.0
"""Seconds between two fetches."""
TIMEOUT = 3.0
"""Seconds for the whole answer of the issuer."""
PATIENCE = 1.0
"""Seconds that a token of a known key waits for the issuer's answer."""
LARGEST = 512 * 1024
"""Bytes of an answer; the sets of large issuers have some 10 KiB."""

_log = logging.getLogger("hubbub")


class KeySet:
    """The keys at a URL.

    One fetch at a time, in a thread, for all who wait for it. While the issuer cannot be reached, the keys that
    are known stay good: its outage keeps nobody out, and revokes nothing.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic, timeout: float = TIMEOUT) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("jwks_url is a URL of https (or http)")
        self._url = url
        self._host = parts.hostname
        self._timeout = timeout
        self._clock = clock
        self._keys: Mapping[str, Key] = {}
        self._asked = self._answered = -math.inf
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> Key | None:
        """The key of this id; None where the issuer has none.

        Raises:
            InternalError: the issuer could not be asked, or was asked just before. Temporary.
        """
        came = self._clock()
        known = kid in self._keys
        if not known or came - self._answered >= LIFETIME:
            await self._refresh(PATIENCE if known else self._timeout)
        key = self._keys.get(kid)
        if key is None and self._answered < came:
            raise InternalError
        return key

    async def _refresh(self, patience: float) -> None:
        """Waits for the fetch under way, or begins one unless it is too early. It goes on when its caller leaves."""
        if self._fetching is None:
            if self._clock() - self._asked < PAUSE:
                return
            self._asked = self._clock()
            self._fetching = asyncio.create_task(self._fetch())
        await asyncio.wait([self._fetching], timeout=patience)

    async def _fetch(self) -> None:
        try:
            self._keys = await asyncio.to_thread(self._published)
            self._answered = self._clock()
        except Exception as error:  # whatever a foreign server answers
            _log.warning("no keys for tokens from %s: %s: %s", self._host, type(error).__name__, error)
        finally:
            self._fetching = None

    def _published(self) -> Mapping[str, Key]:
        return _keys_in(json.loads(download(self._url, self._timeout, LARGEST)))


def _keys_in(document: Any) -> dict[str, Key]:
    """The keys of a set that are of use here, by id. The others are passed over (RFC 7517 §5)."""
    keys: dict[str, Key] = {}
    for entry in document["keys"]:
        with suppress(ValueError):
            if isinstance(entry, dict) and isinstance(entry.get("kid"), str):
                keys[entry["kid"]] = from_jwk(entry)
    if not keys:
        raise ValueError("there is none in the answer")
    return keys

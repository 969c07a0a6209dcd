"""All keys of one issuer of tokens, and the choice between them."""

import base64
import math
from collections.abc import Sequence

import msgspec

from hubbub.auth.jwks import KeySet
from hubbub.auth.keys import ASYMMETRIC, HMAC, Key, from_pem, from_secret, signed, verified, warn_of_a_short
from hubbub.errors import UsageError
from hubbub.spelling import question


class Header(msgspec.Struct):
    """What a token says of its signature."""

    alg: str
    kid: str | None = None


class Keyring:
    """Verifies signatures with the key that the token's algorithm asks for, and signs with the secret."""

    def __init__(
        self,
        *,
        secret: str | bytes | None = None,
        previous_secret: str | bytes | None = None,
        previous_secret_until: float | None = None,
        public_key: str | Sequence[str] | None = None,
        jwks_url: str | None = None,
        algorithms: Sequence[str] | None = None,
    ) -> None:
        """Takes the keys.

        Raises:
            UsageError: there are none, one is wrong, or no key is for one of the ``algorithms``.
        """
        if public_key is not None and jwks_url is not None:
            raise UsageError("give public_key or jwks_url, not both: the latter says what the issuer's keys are")
        if previous_secret is not None and secret is None:
            raise UsageError("give the present secret beside previous_secret")
        keys = [from_pem(pem) for pem in ([public_key] if isinstance(public_key, str) else public_key or ())]
        if secret is not None:
            keys.append(from_secret(secret))
            warn_of_a_short(keys[-1].material, "token")
        if previous_secret is not None:
            until = math.inf if previous_secret_until is None else previous_secret_until
            keys.append(from_secret(previous_secret, until))
        self._set = None if jwks_url is None else KeySet(jwks_url)
        possible = {name for key in keys for name in key.algorithms} | set(ASYMMETRIC if self._set else ())
        if not possible:
            raise UsageError("tokens are verified with a key: give secret, public_key or jwks_url")
        chosen = possible if algorithms is None else set(algorithms)
        if not chosen or chosen - possible:
            misspelt = (question(name, possible) for name in algorithms or () if name not in possible)
            asked = next(filter(None, misspelt), "")
            raise UsageError(
                f"algorithms are of those that the keys are for: {', '.join(sorted(possible))}"
                + (f"; {asked}" if asked else "")
            )
        self._keys = {name: tuple(key for key in keys if name in key.algorithms) for name in chosen}

    async def verify(self, token: str, now: float) -> bytes:
        """The payload of ``token``, if one of the keys signed it.

        Raises:
            ValueError: none did.
            InternalError: the issuer cannot be asked for its keys.
        """
        header = _header_of(token)
        if header.alg not in self._keys:
            raise ValueError("it is signed with another algorithm")
        fault = ValueError("there is no key of its id for its algorithm")
        for key in self._keys[header.alg] or await self._published(header):
            if now <= key.until:
                try:
                    return verified(token, key, header.alg)
                except ValueError as error:
                    fault = error
        raise fault

    def sign(self, payload: bytes) -> str:
        """A token with this payload, signed with the secret.

        Raises:
            UsageError: there is no secret.
        """
        for name in HMAC:
            for key in self._keys.get(name, ()):
                return signed(payload, key, name)
        raise UsageError("tokens are signed with a secret: give one, or make them where the private key is")

    async def _published(self, header: Header) -> tuple[Key, ...]:
        if self._set is None:
            return ()
        if not header.kid:
            raise ValueError("it has no key id (kid), by which the keys of jwks_url are found")
        key = await self._set.find(header.kid)
        return (key,) if key and header.alg in key.algorithms else ()


def _header_of(token: str) -> Header:
    """What the token says itself, which is no proof of anything: PyJWT reads it again, and more strictly."""
    if token.count(".") != 2:
        raise ValueError("this is no JWT, which has three parts with dots between them")
    encoded = token.partition(".")[0]
    return msgspec.json.decode(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)), type=Header)

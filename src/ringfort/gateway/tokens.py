"""Signed JSON Web Tokens, checked: RFC 7515, 7517, 7518, 7519, 8037, and the advice of RFC 8725. No I/O.

What is believed is written down here, not in the token: RS256, ES256 and EdDSA over Ed25519, each with a key
of its own kind, found by `kid` among the keys that the issuer publishes. `none` and every HMAC are refused
before a key is looked for (a published key is no secret), and so is a header that demands anything (`crit`).
A key or address that a header brings along is not read. RSA keys under 2,048 bits are not taken.

Required: `iss`, `aud`, `exp`, `iat` and the claim that names principals. All times are seconds since 1970 by
the clock that is passed in, with a bounded skew; a token that was made for longer than the longest lifetime
is refused, however much of it is left. Left out: encrypted tokens, introspection, revocation.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

if TYPE_CHECKING:
    from jwt.types import Options

    from ringfort.config import OidcConfig

ALGORITHMS = ("RS256", "ES256", "EdDSA")
MOST_BYTES = 16_384
MOST_KEYS = 64
_SMALLEST_RSA, _LARGEST_RSA = 2_048, 8_192
_KINDS = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_COUNTRY = re.compile(r"[A-Z]{2}")
_SIGNATURE_ONLY: Options = {  # the claims are checked here
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


class TokenRefusedError(Exception):
    """A token is not believed; `reason` is for the record only."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = f"token: {reason}"


@dataclass(frozen=True)
class PublishedKey:
    """A public key of the issuer, and the one algorithm that it is used with."""

    algorithm: str
    key: Any


@dataclass(frozen=True)
class Token:
    """What a token says: whom it names, and the country it claims ("" if it was asked and could not say)."""

    subject: str
    country: str


def read_keys(document: bytes) -> dict[str, PublishedKey]:
    """The usable keys of a JWK set by `kid`; a name that is given twice is none. Raises `ValueError`."""
    data = json.loads(document)
    listed = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(listed, list) or len(listed) > MOST_KEYS:
        raise ValueError("is no set of keys")
    found: dict[str, PublishedKey] = {}
    seen: set[str] = set()
    for each in listed:
        name = each.get("kid") if isinstance(each, dict) else None
        if not isinstance(name, str) or not 1 <= len(name) <= 256:
            continue
        key = None if name in seen else _key(each)
        found.pop(name, None)
        seen.add(name)
        if key is not None:
            found[name] = key
    return found


def _key(facts: dict[str, Any]) -> PublishedKey | None:
    curve = facts.get("crv")
    algorithm = _KINDS.get((str(facts.get("kty")), curve if isinstance(curve, str) else None))
    operations = facts.get("key_ops")
    if (
        algorithm is None
        or facts.get("alg") not in {None, algorithm}
        or facts.get("use") not in {None, "sig"}
        or (operations is not None and (not isinstance(operations, list) or "verify" not in operations))
        or "d" in facts  # a private key that was published proves nothing
    ):
        return None
    try:
        key = jwt.PyJWK(facts, algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if algorithm == "RS256" and not _SMALLEST_RSA <= key.key_size <= _LARGEST_RSA:
        return None
    return PublishedKey(algorithm, key)


def key_name(token: str) -> str:
    """The `kid` of the key that a token says it is signed with; refuses what can be refused without a key."""
    if len(token) > MOST_BYTES or not _FORM.fullmatch(token):
        raise TokenRefusedError("malformed")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise TokenRefusedError("malformed") from None
    if header.get("alg") not in ALGORITHMS:
        raise TokenRefusedError("algorithm")
    if "crit" in header:
        raise TokenRefusedError("critical header")
    name = header.get("kid")
    if not isinstance(name, str) or not name:
        raise TokenRefusedError("no key named")
    return name


def check_token(token: str, key: PublishedKey, rules: OidcConfig, now: float) -> Token:
    """What a token says that was signed with `key` and is good at `now`; raises `TokenRefusedError`."""
    try:
        claims = jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm],
            options=_SIGNATURE_ONLY,
        )
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise TokenRefusedError("signature") from None
    if claims.get("iss") != rules.issuer:
        raise TokenRefusedError("issuer")
    audience = claims.get("aud")
    if audience != rules.audience and not (isinstance(audience, list) and rules.audience in audience):
        raise TokenRefusedError("audience")
    _check_times(claims, rules, now)
    subject = claims.get(rules.principal_claim)
    if not isinstance(subject, str) or not subject:
        raise TokenRefusedError("no principal named")
    country = claims.get(rules.country_claim) if rules.country_claim else None
    if not isinstance(country, str) or not _COUNTRY.fullmatch(country):
        country = ""
    return Token(subject, country)


def _check_times(claims: dict[str, Any], rules: OidcConfig, now: float) -> None:
    skew = rules.clock_skew_seconds
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    if now >= expires + skew:
        raise TokenRefusedError("expired")
    if issued > now + skew:
        raise TokenRefusedError("issued in the future")
    if "nbf" in claims and _time(claims, "nbf") > now + skew:
        raise TokenRefusedError("not valid yet")
    if not 0 <= expires - issued <= rules.longest_lifetime_seconds:
        raise TokenRefusedError("lifetime")


def _time(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TokenRefusedError(f"no {name}")
    return value


__all__ = [
    "ALGORITHMS",
    "MOST_BYTES",
    "PublishedKey",
    "Token",
    "TokenRefusedError",
    "check_token",
    "key_name",
    "read_keys",
]

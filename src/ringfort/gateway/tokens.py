"""Signed JSON Web Tokens, checked: RFC 7515, 7517, 7518, 7519, 8037, and the advice of RFC 8725. No I/O.

What is believed is written down here, not in the token: RS256, ES256 and EdDSA over Ed25519, each with a key
of its own kind, found by `kid` among the keys that the issuer publishes. `none` and every HMAC are refused
before a key is looked for (a published key is no secret), and so is a header that demands anything (`crit`).
A key or address that a header brings along is not read. RSA keys under 2,048 bits are not taken. A header
that says what kind of token this is (`typ`) must say `JWT` or `at+jwt` (RFC 8725 section 3.11, RFC 9068): a
logout token or a security event is signed with the same keys and opens nothing.

Header and claims are read strictly: no name twice, no NaN, no Infinity, bounded depth, and times are numbers
of seconds between 1970 and 9999. A key in the set that is malformed in whatever way costs that key only.

Required: `iss`, `aud`, `exp`, `iat` and the claim that names principals. All times are seconds since 1970 by
the clock that is passed in, with a bounded skew; a token that was made for longer than the longest lifetime
is refused, however much of it is left. Left out: encrypted tokens, introspection, revocation.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from ringfort.public_keys import ed25519_fault

if TYPE_CHECKING:
    from ringfort.config import OidcConfig

ALGORITHMS = ("RS256", "ES256", "EdDSA")
MOST_BYTES = 16_384
MOST_KEYS = 64
_SMALLEST_RSA, _LARGEST_RSA = 2_048, 8_192
_KINDS = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_COUNTRY = re.compile(r"[A-Z]{2}")
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
_LAST = 253_402_300_800  # the year 10000
_DEEPEST = 32
_LONGEST_NUMBER = 64
_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


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
    """What a token says: whom it names, and the country it claims ("" if it was asked and could not say).

    `until`: from when on it is not taken any more, in seconds since 1970.
    """

    subject: str
    country: str
    until: float


def read_keys(document: bytes) -> dict[str, PublishedKey]:
    """The usable keys of a JWK set by `kid`; a name that is given twice is none. Raises `ValueError`."""
    data = _lenient(document)
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
    kind, curve = facts.get("kty"), facts.get("crv")
    algorithm = _KINDS.get((str(kind), curve if isinstance(curve, str) else None))
    operations = facts.get("key_ops")
    if (
        algorithm is None
        or facts.get("alg", algorithm) != algorithm
        or facts.get("use", "sig") != "sig"
        or (operations is not None and (not isinstance(operations, list) or "verify" not in operations))
        or "d" in facts  # a private key that was published proves nothing
    ):
        return None
    try:
        key = jwt.PyJWK(facts, algorithm=algorithm).key
        sound = algorithm != "RS256" or _SMALLEST_RSA <= key.key_size <= _LARGEST_RSA
        if algorithm == "EdDSA":
            sound = not ed25519_fault(key.public_bytes_raw())
    except Exception:  # noqa: BLE001 - whatever is wrong with one key costs that key only
        return None
    return PublishedKey(algorithm, key) if sound else None


def key_name(token: str) -> str:
    """The `kid` of the key that a token says it is signed with; refuses what can be refused without a key."""
    if len(token) > MOST_BYTES or not _FORM.fullmatch(token):
        raise TokenRefusedError("malformed")
    header = _part(token, 0)
    if header.get("alg") not in ALGORITHMS:
        raise TokenRefusedError("algorithm")
    if "crit" in header or "b64" in header:
        raise TokenRefusedError("critical header")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise TokenRefusedError("another kind of token")
    name = header.get("kid")
    if not isinstance(name, str) or not name:
        raise TokenRefusedError("no key named")
    return name


def check_token(token: str, key: PublishedKey, rules: OidcConfig, now: float) -> Token:
    """What a token says that was signed with `key` and is good at `now`; raises `TokenRefusedError`."""
    try:
        jwt.api_jws.decode(token, key.key, algorithms=[key.algorithm])
    except Exception:  # noqa: BLE001 - whatever the library makes of it, it is not signed
        raise TokenRefusedError("signature") from None
    claims = _part(token, 1)
    if claims.get("iss") != rules.issuer:
        raise TokenRefusedError("issuer")
    audience = claims.get("aud")
    if audience != rules.audience and not (isinstance(audience, list) and rules.audience in audience):
        raise TokenRefusedError("audience")
    until = _check_times(claims, rules, now)
    subject = claims.get(rules.principal_claim)
    if not isinstance(subject, str) or not subject:
        raise TokenRefusedError("no principal named")
    country = claims.get(rules.country_claim) if rules.country_claim else None
    if not isinstance(country, str) or not _COUNTRY.fullmatch(country):
        country = ""
    return Token(subject, country, until)


def _json(text: bytes) -> Any:  # noqa: ANN401 - JSON
    """A JSON value, strictly; raises `ValueError`."""
    try:
        value = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_once,
            parse_constant=_no_constant,
            parse_int=_integer,
        )
    except RecursionError:
        raise ValueError("is nested too deep") from None
    _bounded(value, _DEEPEST)
    return value


def _lenient(document: bytes) -> Any:  # noqa: ANN401 - JSON
    """A JSON value of which what is odd is None: an object with a name twice, a number, what lies too deep.

    Raises `ValueError` if it is no JSON at all.
    """
    return json.loads(
        _shallow(document.decode("utf-8", "replace")),
        object_pairs_hook=lambda pairs: made if len(made := dict(pairs)) == len(pairs) else None,
        parse_constant=lambda _: None,
        parse_int=lambda text: int(text) if len(text) <= _LONGEST_NUMBER else None,
    )


def _shallow(text: str) -> str:
    """JSON text in which what lies deeper than `_DEEPEST` is cut out."""
    depth, start, kept = 0, 0, []
    for found in _STRUCTURE.finditer(text):
        mark = found[0]
        if mark in "[{":
            depth += 1
            if depth == _DEEPEST + 1:
                kept.append(text[start : found.start()] + "null")
        elif mark in "]}":
            if depth == _DEEPEST + 1:
                start = found.end()
            depth -= 1
    return "".join((*kept, text[start:])) if depth <= _DEEPEST else "".join(kept)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("has a name twice")
    return made


def _no_constant(name: str) -> None:
    raise ValueError(f"has a {name}")


def _integer(text: str) -> int:
    """Longer ones mean nothing here, and cost time to read."""
    if len(text) > _LONGEST_NUMBER:
        raise ValueError("has a number that is too long")
    return int(text)


def _bounded(value: object, depth: int) -> None:
    if depth < 0:
        raise ValueError("is nested too deep")
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            _bounded(each, depth - 1)


def _part(token: str, number: int) -> dict[str, Any]:
    """Header (0) or claims (1) of a token that has the form of one."""
    text = token.split(".")[number]
    try:
        value = _json(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:  # of base64 and Unicode, too
        raise TokenRefusedError("malformed") from None
    if not isinstance(value, dict):
        raise TokenRefusedError("malformed")
    return value


def _check_times(claims: dict[str, Any], rules: OidcConfig, now: float) -> float:
    """When the token ends, the skew of clocks included."""
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
    return expires + skew


def _time(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LAST:  # NaN neither
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

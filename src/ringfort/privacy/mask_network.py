"""Networks of addresses of PostgreSQL's type inet, as columns: `ringfort.mask_inet_v2` and `general_inet_v1`.

Arrow has no such type: taken is text as PostgreSQL writes an inet or cidr (`192.0.2.77`, `2001:db8::/32`).
Text that is no address becomes null. Of a 6to4 address (`2002:`) the first 48 bits are a whole address of
version 4, so it is masked as it is generalised.
"""

from __future__ import annotations

import ipaddress
import re

import pyarrow as pa
import pyarrow.compute as pc

from ringfort.privacy import form_rules as rules
from ringfort.privacy.text_columns import clean, groups, joined, matches, only

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_FOUR = rf"^{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}(?:/(?:3[0-2]|[12]?[0-9]))?$"
_OCTETS = {16: r"^([0-9]+\.[0-9]+)\.", 24: r"^([0-9]+\.[0-9]+\.[0-9]+)\."}
_FOUR_ENDS = {16: ".0.0/16", 24: ".0/24"}
_GROUP = "(?:0|[1-9a-f][0-9a-f]{0,3})"
# eight groups, or fewer with `::` in such a place that the first three are those before it, and then zeros
_SIX = "|".join(
    (
        f"{_GROUP}(?::{_GROUP}){{7}}",
        f"(?:{_GROUP}(?::{_GROUP})?)?::(?:{_GROUP}(?::{_GROUP}){{0,4}})?",
        *(
            f"{_GROUP}(?::{_GROUP}){{{left}}}::(?:{_GROUP}(?::{_GROUP}){{0,{5 - left}}})?"
            for left in range(2, 6)
        ),
        f"{_GROUP}(?::{_GROUP}){{6}}::",
    )
)
_SIX = f"^(?:{_SIX})(?:/(?:12[0-8]|1[01][0-9]|[1-9]?[0-9]))?$"
_GROUPS = {32: f"^({_GROUP}(?::{_GROUP})?)", 48: f"^({_GROUP}(?::{_GROUP}(?::{_GROUP})?)?)"}


def mask_inet(text: pa.Array) -> pa.Array:
    """The /24 or /48, of 6to4 the /32."""
    text = clean(text)
    found = _networks(text, *rules.MASK_NETWORKS)
    of_four = pc.starts_with(found, rules.IPV6_OF_IPV4).fill_null(False)
    if not pc.any(of_four, min_count=0).as_py():
        return found
    return pc.replace_with_mask(found, of_four, _networks(text.filter(of_four), *rules.GENERAL_NETWORKS))


def general_inet(text: pa.Array) -> pa.Array:
    """The /16 or /32."""
    return _networks(clean(text), *rules.GENERAL_NETWORKS)


def _networks(text: pa.Array, four: int, six: int) -> pa.Array:
    (octets,) = groups(text, _OCTETS[four])
    found = only(matches(text, _FOUR), joined(octets, _FOUR_ENDS[four], like=text), text)
    if pc.any(pc.match_substring(text, ":"), min_count=0).as_py():
        (words,) = groups(text, _GROUPS[six])
        words = words.fill_null("")
        if pc.any(pc.match_substring_regex(words, "(?:^|:)0$"), min_count=0).as_py():
            words = pc.replace_substring_regex(words, "(?::0)+$|^0(?::0)*$", "")
        found = pc.coalesce(found, only(matches(text, _SIX), joined(words, f"::/{six}", like=text), text))
    rest = pc.and_(text.is_valid(), found.is_null())
    if not pc.any(rest, min_count=0).as_py():
        return found
    distinct = only(rest, text, text).dictionary_encode()
    slow = pa.array([_network(each, four, six) for each in distinct.dictionary.to_pylist()], text.type)
    return pc.coalesce(found, slow.take(distinct.indices))


def _network(text: str, four: int, six: int) -> str | None:
    if not re.fullmatch(r"[0-9a-fA-F:.]{2,45}(?:/[0-9]{1,3})?", text):
        return None
    try:
        address = ipaddress.ip_interface(text).ip
    except ValueError:
        return None
    if address.version == 4:
        octets = str(address).split(".")[: four // 8]
        return ".".join(octets) + _FOUR_ENDS[four]
    words = [int.from_bytes(address.packed[at : at + 2]) for at in range(0, six // 8, 2)]
    while words and not words[-1]:
        words.pop()
    return ":".join(f"{word:x}" for word in words) + f"::/{six}"

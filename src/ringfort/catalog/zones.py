"""Network zones: which country a client's address counts as. Pure.

An address gets the country of the longest network that holds it; no network means no proof, which the
caller treats as a third country. IPv4 addresses in IPv6 clothes (::ffff:10.0.0.1) count as IPv4, so that
nobody picks a country by picking a socket. Leaves out geolocation data: a zone is what the organisation
knows about its network.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import orjson

from ringfort.errors import ConfigurationError
from ringfort.toml_source import TomlDocument, load_toml

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = "ringfort-zones/1"
_COUNTRY = re.compile(r"[A-Z]{2}")
_KEYS = ("network", "country", "note")
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Zone:
    """A network in CIDR form, without host bits, and the ISO 3166-1 alpha-2 code of its country."""

    network: str
    country: str
    note: str = ""


@dataclass(frozen=True)
class Zones:
    """All zones of a deployment."""

    zones: tuple[Zone, ...] = ()

    def country_of(self, address: str) -> str:
        """The country of the longest network that holds `address`; "" if none does or it is no address."""
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return ""
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        for network, country in self._longest_first:
            if parsed.version == network.version and parsed in network:
                return country
        return ""

    def to_json(self) -> bytes:
        """The canonical bytes (RFC 8785)."""
        zones = [{"network": each.network, "country": each.country, "note": each.note} for each in self.zones]
        return orjson.dumps({"format": FORMAT, "zones": zones}, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_json(cls, data: bytes) -> Zones:
        """The inverse of `to_json`; raises `ConfigurationError` on anything but canonical bytes."""
        try:
            document = orjson.loads(data)
            zones = cls(
                tuple(Zone(each["network"], each["country"], each["note"]) for each in document["zones"])
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError("the bytes are no zone table") from error
        if zones.to_json() != data:
            raise ConfigurationError("the bytes of the zone table are not canonical")
        return zones

    def digest(self) -> str:
        """SHA-256 of the canonical bytes, hexadecimal."""
        return hashlib.sha256(self.to_json()).hexdigest()

    @cached_property
    def _longest_first(self) -> tuple[tuple[_Network, str], ...]:
        parsed = [(ipaddress.ip_network(each.network), each.country) for each in self.zones]
        return tuple(sorted(parsed, key=lambda each: -each[0].prefixlen))


def load_zones(path: Path) -> Zones:
    """Read `zones.toml`; raises `ConfigurationError` with file and line."""
    document = load_toml(path)
    data = dict(document.data)
    entries = data.pop("zone", [])
    if data:
        key = next(iter(data))
        raise document.error(f"unknown key `{key}`", key, hint="zones are written as [[zone]]")
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise document.error("`zone` must be tables written as [[zone]]", "zone")
    zones: list[Zone] = []
    for number, entry in enumerate(entries):
        zone = _zone(document, number, entry)
        if any(zone.network == each.network for each in zones):
            raise _error(document, number, "network", f"network `{zone.network}` stands here twice")
        zones.append(zone)
    return Zones(tuple(zones))


def _zone(document: TomlDocument, number: int, entry: dict[str, Any]) -> Zone:
    for key, value in entry.items():
        if key not in _KEYS:
            hint = f"known keys: {', '.join(_KEYS)}"
            raise _error(document, number, key, f"unknown key `{key}` in [[zone]]", hint)
        if not isinstance(value, str):
            raise _error(document, number, key, f"`{key}` must be a text")
    for key in ("network", "country"):
        if key not in entry:
            raise _error(document, number, "", f"the zone lacks `{key}`")
    try:
        network = ipaddress.ip_network(entry["network"])
    except ValueError:
        hint = "write it like 10.0.0.0/8 or 2001:db8::/32, without host bits"
        raise _error(document, number, "network", f"`{entry['network']}` is not a network", hint) from None
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise _error(document, number, "network", f"`{entry['network']}` must be written as IPv4")
    if not _COUNTRY.fullmatch(entry["country"]):
        message = f"`{entry['country']}` is not an ISO 3166-1 alpha-2 code"
        raise _error(document, number, "country", message, "for example IE")
    return Zone(str(network), entry["country"], entry.get("note", ""))


def _error(document: TomlDocument, number: int, key: str, message: str, hint: str = "") -> ConfigurationError:
    return ConfigurationError(message, path=document.path, line=_line(document.text, number, key), hint=hint)


def _line(text: str, number: int, key: str) -> int:
    """The line of `key` in the zone of that number (from 0), of the zone's head if it cannot be found."""
    head, seen = 1, -1
    for line, content in enumerate(text.splitlines(), start=1):
        stripped = content.strip()
        if re.match(r"\[\[\s*[\"']?zone[\"']?\s*\]\]", stripped):
            seen += 1
            if seen == number:
                head = line
        elif seen == number and key and re.match(rf"[\"']?{re.escape(key)}[\"']?\s*=", stripped):
            return line
    return head

"""What the provisioner is told on standard input, as frozen dataclasses; an unknown key is refused by name.

    {"actor": "provisioner", "socket": path, "ledger_socket": path,
     "blobs": folder of the ledger's blobs, "region": ["IE", ...],
     "custody": {"secrets": folder, "keys": {...}}, where the wrapped secrets of pseudonyms are, and [keys]
     "verifiers": folder of NAME.json,             SCRAM verifiers of principals, read at each use
     "mock_key": base64, 32 bytes,                 for names that are not known
     "sites": [{"name", "country", "kind": "embedded" | "external",
                "databases": {name: administrative DSN},
                "sockets": folder of the server's socket or ""}],
     "authentication": {"failures_before_delay": 5, ...},   as in [gateway.authentication]
     "processing_country": "",                     where this gateway runs; "" leaves it to the worker
     "connections_per_profile": 200, "statement_seconds": 300.0,
     "fill_seconds": 1.0, "audit_seconds": 60.0, "collect_seconds": 60.0, "grace_seconds": 600.0}

From `authentication` on all are optional. With `sockets`, sessions of profiles come over the server's own
socket folder; else over TCP with the host, port and TLS settings of the administrative DSN.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringfort.config import AuthenticationConfig, KeysConfig
from ringfort.errors import ConfigurationError
from ringfort.sites.custody import CustodySettings

SECRET_BYTES = 32


@dataclass(frozen=True)
class SiteSettings:
    """A site and the administrative DSN of each of its databases."""

    name: str
    country: str
    databases: dict[str, str]
    kind: str = "external"
    sockets: str = ""


@dataclass(frozen=True)
class ProvisionerSettings:
    """Everything the provisioner is told."""

    actor: str
    socket: str
    ledger_socket: str
    blobs: Path
    region: frozenset[str]
    custody: CustodySettings
    verifiers: Path
    mock_key: bytes
    sites: tuple[SiteSettings, ...]
    authentication: AuthenticationConfig = field(default_factory=AuthenticationConfig)
    processing_country: str = ""
    connections_per_profile: int = 200
    statement_seconds: float = 300.0
    fill_seconds: float = 1.0
    audit_seconds: float = 60.0
    collect_seconds: float = 60.0
    grace_seconds: float = 600.0

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ProvisionerSettings:
        """Raises `ConfigurationError` for a key that is missing, unknown or of the wrong sort."""
        values = _known(cls, data, "the provisioner")
        values["mock_key"] = _secret("mock_key", values["mock_key"])
        custody = _known(CustodySettings, values["custody"], "custody")
        keys = KeysConfig(**_known(KeysConfig, custody["keys"], "keys"))
        values["custody"] = CustodySettings(Path(_text("secrets", custody["secrets"])), keys)
        for name in ("blobs", "verifiers"):
            values[name] = Path(_text(name, values[name]))
        for name in ("actor", "socket", "ledger_socket"):
            values[name] = _text(name, values[name])
        for name in ("region", "sites"):
            if not isinstance(values[name], list):
                raise ConfigurationError(f"`{name}` must be a list")
        values["region"] = frozenset(map(str, values["region"]))
        values["sites"] = tuple(
            SiteSettings(**_known(SiteSettings, each, "a site")) for each in values["sites"]
        )
        if "authentication" in values:
            given = _known(AuthenticationConfig, values["authentication"], "authentication")
            values["authentication"] = AuthenticationConfig(**given)
        for site in values["sites"]:
            if site.kind not in {"embedded", "external"} or not isinstance(site.databases, dict):
                raise ConfigurationError(f"site `{site.name}` is not described as it must be")
        return cls(**values)


def _known(kind: type, data: object, what: str) -> dict[str, Any]:
    fields = {each.name: each for each in dataclasses.fields(kind)}
    if not isinstance(data, dict):
        raise ConfigurationError(f"{what} must be told an object")
    for key in data:
        if key not in fields:
            raise ConfigurationError(f"unknown key `{key}` for {what}")
    for name, each in fields.items():
        optional = each.default is not dataclasses.MISSING or each.default_factory is not dataclasses.MISSING
        if not optional and name not in data:
            raise ConfigurationError(f"{what} misses `{name}`")
    return dict(data)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"`{name}` must be a text")
    return value


def _secret(name: str, value: object) -> bytes:
    try:
        secret = base64.b64decode(_text(name, value), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise ConfigurationError(f"`{name}` must be {SECRET_BYTES} bytes in base64")
    return secret


__all__ = ["ProvisionerSettings", "SiteSettings"]

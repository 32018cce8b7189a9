"""What a worker is told on standard input, as frozen dataclasses; an unknown or missing key is refused.

    {"actor": "worker-0",
     "listen": {"fd": 7},                                  or {"host": "127.0.0.1", "port": 0}
     "slot": 0, "board": 8, "sockets": folder,
     "tls": {"mode": "required", "certificate": PEM or path, "key": PEM or path},
     "ledger_socket": path, "provisioner_socket": path, "parser_socket": path,
     "processing_country": "IE",
     "limits": {"rows_per_session": 1000000, "bytes_per_session": 1000000000,
                "statements_per_minute": 0, "evidence_bytes_per_minute": 0, "sessions_per_principal": 0,
                "idle_seconds": 0, "session_seconds": 0},
     "client_certificates": {"ca": path, "certificate": "sufficient"},
     "oidc": {"issuer": ..., ...},                         as in [gateway.oidc]
     "max_sessions": 1000, "idle_site_connections": 0, "sessions_outlive_credentials": false,
     "unauthenticated_connections": 1000, "unauthenticated_per_address": 250,
     "statement_text_bytes": 262144, "message_bytes": 1048576,
     "startup_seconds": 15.0, "record_seconds": 10.0}

Only `actor`, `listen`, `tls` and the three sockets are required. `tls.mode` is `required` or `optional`;
`optional` admits plaintext from loopback only. `processing_country` is where this gateway runs; empty means
that the provisioner's decision says it. `slot` is the worker's place on the `board` (an inherited descriptor)
that it shares with the others; its private socket is made in the folder `sockets`, none if that is empty.
`startup_seconds` is how long a client may take to authenticate. `record_seconds`: a statement whose record is
not durable by then ends its session.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ringfort.config import ClientCertificatesConfig, OidcConfig
from ringfort.errors import ConfigurationError
from ringfort.gateway.board import SLOTS

_AROUND_TEXT = 1_024  # what stands around a text in its message
_Section = TypeVar(
    "_Section", "Listen", "Tls", "Limits", "ClientCertificatesConfig", "OidcConfig", "WorkerSettings"
)


@dataclass(frozen=True)
class Listen:
    """An inherited listening socket (`fd`), or where to listen."""

    fd: int = -1
    host: str = ""
    port: int = 0


@dataclass(frozen=True)
class Tls:
    """How clients are spoken to; `certificate` and `key` are PEM texts or paths to PEM files."""

    mode: str = "required"
    certificate: str = ""
    key: str = ""


@dataclass(frozen=True)
class Limits:
    """What one session, or one principal's sessions together, may take at most; zero means no limit."""

    rows_per_session: int = 1_000_000
    bytes_per_session: int = 1_000_000_000
    statements_per_minute: int = 0
    evidence_bytes_per_minute: int = 0
    sessions_per_principal: int = 0
    idle_seconds: float = 0
    session_seconds: float = 0


@dataclass(frozen=True)
class WorkerSettings:
    """Everything a worker is told."""

    actor: str
    listen: Listen
    tls: Tls
    ledger_socket: str
    provisioner_socket: str
    parser_socket: str
    slot: int = 0
    board: int = -1
    sockets: str = ""
    processing_country: str = ""
    limits: Limits = field(default_factory=Limits)
    client_certificates: ClientCertificatesConfig = field(default_factory=ClientCertificatesConfig)
    oidc: OidcConfig = field(default_factory=OidcConfig)
    max_sessions: int = 1_000
    idle_site_connections: int = 0
    sessions_outlive_credentials: bool = False
    unauthenticated_connections: int = 1_000
    unauthenticated_per_address: int = 250
    statement_text_bytes: int = 262_144
    message_bytes: int = 1_048_576
    startup_seconds: float = 15.0
    record_seconds: float = 10.0


def read_settings(document: object) -> WorkerSettings:
    """The settings in a JSON value; raises `ConfigurationError` naming the key."""
    if not isinstance(document, dict):
        raise ConfigurationError("the worker's configuration is no JSON object")
    values: dict[str, Any] = dict(document)
    values["listen"] = _section(Listen, "listen", values.get("listen", {}))
    values["tls"] = _section(Tls, "tls", values.get("tls", {}))
    values["limits"] = _section(Limits, "limits", values.get("limits", {}))
    values["client_certificates"] = _section(
        ClientCertificatesConfig, "client_certificates", values.get("client_certificates", {})
    )
    values["oidc"] = _section(OidcConfig, "oidc", values.get("oidc", {}))
    settings = _section(WorkerSettings, "", values)
    room = settings.statement_text_bytes + _AROUND_TEXT
    if settings.message_bytes < room:
        settings = dataclasses.replace(settings, message_bytes=room)
    if settings.tls.mode not in {"required", "optional"}:
        raise ConfigurationError("`tls.mode` must be `required` or `optional`")
    if settings.tls.mode == "required" and not settings.tls.certificate:
        raise ConfigurationError("`tls.certificate` is missing")
    if not 0 <= settings.slot < SLOTS:
        raise ConfigurationError(f"`slot` must be 0 to {SLOTS - 1}")
    if settings.listen.fd < 0 and not settings.listen.host:
        raise ConfigurationError("`listen` needs `fd`, or `host` and `port`")
    return settings


def _section(kind: type[_Section], name: str, values: object) -> _Section:
    where = f"{name}." if name else ""
    if not isinstance(values, dict):
        raise ConfigurationError(f"`{name}` must be an object")
    fields = {each.name: each for each in dataclasses.fields(kind)}
    types: dict[str, tuple[type, ...]] = {
        "str": (str,),
        "int": (int,),
        "float": (int, float),
        "bool": (bool,),
    }
    for key, value in values.items():
        if key not in fields:
            raise ConfigurationError(f"unknown key `{where}{key}` for a worker")
        expected = types.get(str(fields[key].type))
        if expected is not None and (
            not isinstance(value, expected) or isinstance(value, bool) != (bool in expected)
        ):
            raise ConfigurationError(f"`{where}{key}` must be of type {fields[key].type}")
    try:
        return kind(**values)
    except TypeError:
        missing = [key for key in fields if key not in values and _required(fields[key])]
        raise ConfigurationError(f"`{where}{missing[0]}` is missing for a worker") from None


def _required(each: dataclasses.Field[Any]) -> bool:
    return each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING


__all__ = ["Limits", "Listen", "Tls", "WorkerSettings", "read_settings"]

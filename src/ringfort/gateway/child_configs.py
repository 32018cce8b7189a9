"""What each child of the supervisor is told on standard input: its configuration and its own secrets only."""

from __future__ import annotations

import base64
import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ringfort.ledger.entry import format_time
from ringfort.ledger.entry_control import GatewayStarted, GatewayStopped
from ringfort.paths import Layout, runtime_folder
from ringfort.private_files import read_private
from ringfort.record.client import ledger_folder, load_settings, read_key
from ringfort.sites.custody import CustodySettings

if TYPE_CHECKING:
    from ringfort.config import Config, SiteConfig
    from ringfort.record.client import SyncLedger
    from ringfort.sites.postgres import EmbeddedServer

ACTOR = "supervisor"


def _socket(config: Config, name: str) -> str:
    return str(runtime_folder(config.folder) / f"{name}.sock")


def writer(config: Config) -> dict[str, Any]:
    """The ledger writer: the signing key, and the public half of the evidence key."""
    settings = load_settings(config.folder)
    return {
        "folder": str(settings.folder),
        "socket": _socket(config, "ledger"),
        "origin": settings.origin,
        "key": base64.b64encode(settings.seed).decode(),
        "evidence_public": base64.b64encode(settings.evidence_public).decode(),
        "merge_delay_seconds": settings.merge_delay,
        "control_staleness_seconds": settings.control_staleness,
    }


def http(config: Config) -> dict[str, Any]:
    """The ledger over HTTP: no secret at all."""
    return {
        "folder": str(ledger_folder(config.folder)),
        "host": config.ledger.http_host,
        "port": config.ledger.http_port,
    }


def parser(config: Config) -> dict[str, Any]:
    """The parser: no secret at all."""
    return {"socket": _socket(config, "parser")}


def provisioner(config: Config, servers: dict[str, EmbeddedServer]) -> dict[str, Any]:
    """The provisioner: administrative DSNs, where pseudonyms' secrets are kept, the SCRAM verifiers."""
    layout = Layout(config.folder)
    return {
        "actor": "provisioner",
        "socket": _socket(config, "provisioner"),
        "ledger_socket": _socket(config, "ledger"),
        "blobs": str(ledger_folder(config.folder) / "blobs"),
        "region": list(config.region.countries),
        "custody": _custody(CustodySettings.of(config)),
        "verifiers": str(layout.secrets / "scram"),
        "mock_key": base64.b64encode(read_key(layout.secrets / "scram-mock.key")).decode(),
        "sites": [_site(config, site, servers.get(site.name)) for site in config.sites],
        "authentication": dataclasses.asdict(config.authentication),
        "connections_per_profile": config.gateway.max_sessions
        * config.gateway.worker_count,  # all may sit in one profile
    }


def _custody(settings: CustodySettings) -> dict[str, Any]:
    return {"secrets": str(settings.secrets), "keys": dataclasses.asdict(settings.keys)}


def _site(config: Config, site: SiteConfig, server: EmbeddedServer | None) -> dict[str, Any]:
    return {
        "name": site.name,
        "country": site.country,
        "kind": site.kind,
        "databases": {name: admin_dsn(config, site, server, name) for name in site.databases},
        # profile roles come over the server's own socket folder where there is one: 0700, no TLS to pay for
        "sockets": "" if server is None else str(server.sockets),
    }


def admin_dsn(config: Config, site: SiteConfig, server: EmbeddedServer | None, database: str) -> str:
    """The administrative DSN of one database; an external site's is in `secrets/site-NAME.dsn`."""
    if server is not None:
        return server.admin_dsn(database)
    dsn = read_private(Layout(config.folder).site_dsn(site.name)).decode().strip()
    return make_conninfo(dsn, **{**conninfo_to_dict(dsn), "dbname": database})


def worker(config: Config, number: int, slot: int, listening: int, board: int) -> dict[str, Any]:
    """A worker: the gateway's TLS key; credentials of profiles come from the provisioner, one at a time.

    `listening` and `board` are descriptors that it inherits; `slot` is its place on the board.
    """
    tls = Layout(config.folder).tls
    certificate = config.gateway.tls_certificate or str(tls / "server.pem")
    key = config.gateway.tls_key or str(tls / "server.key")
    return {
        "actor": f"worker-{number}",
        "listen": {"fd": listening},
        "slot": slot,
        "board": board,
        "sockets": str(runtime_folder(config.folder)),
        "tls": {
            "mode": config.gateway.tls,
            "certificate": str(config.folder / certificate),
            "key": str(config.folder / key),
        },
        "client_certificates": {
            "ca": _beside(config, config.client_certificates.ca),
            "certificate": config.client_certificates.certificate,
        },
        "oidc": {
            **dataclasses.asdict(config.oidc),
            "jwks_file": _beside(config, config.oidc.jwks_file),
            "jwks_ca": _beside(config, config.oidc.jwks_ca),
        },
        "ledger_socket": _socket(config, "ledger"),
        "provisioner_socket": _socket(config, "provisioner"),
        "parser_socket": _socket(config, "parser"),
        "processing_country": config.gateway.country,
        "limits": {
            "rows_per_session": config.limits.rows_per_session,
            "bytes_per_session": config.limits.bytes_per_session,
            "statements_per_minute": config.limits.statements_per_minute,
            "evidence_bytes_per_minute": config.limits.evidence_bytes_per_minute,
            "sessions_per_principal": config.limits.sessions_per_principal,
            "idle_seconds": config.limits.idle_seconds,
            "session_seconds": config.limits.session_seconds,
        },
        "max_sessions": config.gateway.max_sessions,
        "idle_site_connections": config.gateway.idle_site_connections,
        "startup_seconds": config.authentication.seconds,
        "unauthenticated_connections": config.authentication.unauthenticated_connections,
        "unauthenticated_per_address": config.authentication.unauthenticated_per_address,
        "sessions_outlive_credentials": config.authentication.past_credential == "continue",
        "statement_text_bytes": config.gateway.statement_text_bytes,
    }


def _beside(config: Config, path: str) -> str:
    """A path as `ringfort.toml` means it; nothing stays nothing."""
    return str(config.folder / path) if path else ""


def record_started(ledger: SyncLedger, version: str) -> None:
    """Put on record that a gateway serves."""
    ledger.append([GatewayStarted(time=_now(), actor=ACTOR, version=version)])


def record_stopped(ledger: SyncLedger) -> None:
    """Put on record that the gateway serves no more."""
    if ledger.state.gateway:
        ledger.append([GatewayStopped(time=_now(), actor=ACTOR)])


def _now() -> str:
    return format_time(datetime.now(UTC))


__all__ = [
    "admin_dsn", "http", "parser", "provisioner", "record_started", "record_stopped", "worker", "writer",
]  # fmt: skip

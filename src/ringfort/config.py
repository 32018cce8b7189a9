"""`ringfort.toml` as frozen dataclasses. An unknown key is refused by name, with file and line.

The folder of a deployment (`DIR` on the command line) holds:

    ringfort.toml     this file                        catalog.toml    what data there is
    zones.toml        networks -> country              policy/         *.cedar, *.cedarschema, tests.toml
    secrets/          0700: keys and credentials       state/          0700: ledger, sites, run
    logs/             0700: what each process said
"""

from __future__ import annotations

import dataclasses
import os
import re
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 - dataclass annotations are read by people and tools at run time
from typing import Any, TypeVar

from ringfort.errors import ConfigurationError
from ringfort.toml_source import TomlDocument, load_toml

EEA = [
    "AT",
    "BE",
    "BG",
    "HR",
    "CY",
    "CZ",
    "DK",
    "EE",
    "FI",
    "FR",
    "DE",
    "GR",
    "HU",
    "IS",
    "IE",
    "IT",
    "LV",
    "LI",
    "LT",
    "LU",
    "MT",
    "NL",
    "NO",
    "PL",
    "PT",
    "RO",
    "SK",
    "SI",
    "ES",
    "SE",
]
AUTOMATIC_WORKERS = 8
LEAST_MEASURES_MIB = 128
LEAST_SILENCE_SECONDS = 5
MOST_WORKERS = 64
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_COUNTRY = re.compile(r"[A-Z]{2}")
_Section = TypeVar(
    "_Section",
    "RegionConfig",
    "GatewayConfig",
    "AuthenticationConfig",
    "ClientCertificatesConfig",
    "OidcConfig",
    "LedgerConfig",
    "LimitsConfig",
    "KeysConfig",
    "MeasuresConfig",
    "TransfersConfig",
    "LogConfig",
    "SiteConfig",
)


@dataclass(frozen=True)
class RegionConfig:
    """The region whose people's data is kept: a name and ISO 3166-1 alpha-2 country codes."""

    name: str = "EEA"
    countries: tuple[str, ...] = tuple(EEA)


@dataclass(frozen=True)
class LimitsConfig:
    """What one session, or all sessions of one principal, may take at most. Zero means no limit."""

    rows_per_session: int = 1_000_000
    bytes_per_session: int = 1_000_000_000
    statements_per_minute: int = 0
    evidence_bytes_per_minute: int = 67_108_864
    sessions_per_principal: int = 100
    idle_seconds: int = 3_600
    session_seconds: int = 43_200


@dataclass(frozen=True)
class GatewayConfig:
    """Where the gateway listens and how. Port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 6432
    country: str = ""  # where the gateway runs; empty: where the site is
    tls: str = "required"  # or "optional": plaintext then only from loopback
    tls_certificate: str = ""  # PEM file; empty: one is made in secrets/
    tls_key: str = ""
    workers: int = 0  # one for two processors, at most 8
    statement_text_bytes: int = 262_144
    max_sessions: int = 1_000
    idle_site_connections: int = 16

    @property
    def worker_count(self) -> int:
        """How many workers there are: the writer and the site's own processes want the other processors."""
        return self.workers or min(max(1, len(os.sched_getaffinity(0)) // 2), AUTOMATIC_WORKERS)


@dataclass(frozen=True)
class AuthenticationConfig:
    """`[gateway.authentication]`: what failed passwords lead to, counted for all workers together.

    And what connections that have not authenticated may take, and how long a proof is good for.
    """

    failures_before_delay: int = 5  # of one principal
    address_failures_before_delay: int = 20
    delay_seconds: float = 1.0
    longest_delay_seconds: float = 300.0
    seconds: float = 15.0  # that a client has to authenticate
    unauthenticated_connections: int = 1_000  # at once, of one worker; sessions have places of their own
    unauthenticated_per_address: int = 250  # at once, of one worker; raise it behind a proxy
    past_credential: str = "end"  # sessions past their certificate or token; or "continue"


@dataclass(frozen=True)
class ClientCertificatesConfig:
    """`[gateway.client_certificates]`: whose certificates are believed, and what one is good for."""

    ca: str = ""  # PEM file; empty: clients are not asked for certificates
    certificate: str = "sufficient"  # or "required": nobody comes in without one, and a password is asked for


@dataclass(frozen=True)
class OidcConfig:
    """`[gateway.oidc]`: whose signed tokens are believed, and what they must say."""

    issuer: str = ""  # empty: no tokens
    audience: str = ""
    jwks_url: str = ""  # https; or:
    jwks_file: str = ""
    jwks_ca: str = ""  # PEM file; empty: the machine's authorities
    principal_claim: str = "sub"
    country_claim: str = ""
    clock_skew_seconds: int = 60
    longest_lifetime_seconds: int = 86_400
    refetch_seconds: float = 30.0


@dataclass(frozen=True)
class LedgerConfig:
    """The transparency log: its origin (no scheme), where it is served, its maximum merge delay."""

    origin: str = "ringfort.example/log"
    http_host: str = "127.0.0.1"
    http_port: int = 6480
    merge_delay_seconds: float = 5.0
    control_staleness_seconds: float = 10.0


@dataclass(frozen=True)
class KeysConfig:
    """What wraps the secrets of pseudonyms: a key in a file, or one in a PKCS#11 token."""

    store: str = "file"  # or "pkcs11"
    kek_file: str = ""  # the key-encryption key's file; empty: secrets/kek.key
    module: str = ""  # path of the token's PKCS#11 library
    token: str = ""  # label of the token
    pin_file: str = ""  # file with the user PIN, 0600; empty: secrets/pkcs11.pin
    key_label: str = "ringfort-kek"  # label of the key-encryption key in the token


@dataclass(frozen=True)
class MeasuresConfig:
    """How re-identification is measured over what a transfer is about to release."""

    memory_mib: int = 1_024  # what does not fit is spilled to the run's own folder
    threads: int = 0  # 0: one for each processor


@dataclass(frozen=True)
class TransfersConfig:
    """How the work of transfers is watched."""

    silence_seconds: int = 60  # a run ends after so long without a sign of life
    always_workers: bool = False  # use the workers asked for even where one process is predicted as fast


@dataclass(frozen=True)
class LogConfig:
    """How processes write their log lines, to standard error and to `logs/`."""

    format: str = "text"  # or "json": one object a line
    level: str = "info"  # the least grave that is written: debug, info, warning, error, critical


@dataclass(frozen=True)
class SiteConfig:
    """A data centre: an embedded PostgreSQL, or an existing one reached by a DSN kept in `secrets/`.

    `kind` is `embedded` or `external`; an external site's administrative DSN is the content of the file
    `secrets/site-NAME.dsn`, so that it stands in no configuration and no argument list.
    """

    name: str
    kind: str = "embedded"
    country: str = "IE"
    databases: tuple[str, ...] = ()
    port: int = 0


@dataclass(frozen=True)
class Config:
    """A whole deployment, validated."""

    path: Path
    organisation: str
    region: RegionConfig
    gateway: GatewayConfig
    ledger: LedgerConfig
    limits: LimitsConfig
    sites: tuple[SiteConfig, ...] = field(default_factory=tuple)
    authentication: AuthenticationConfig = field(default_factory=AuthenticationConfig)
    client_certificates: ClientCertificatesConfig = field(default_factory=ClientCertificatesConfig)
    oidc: OidcConfig = field(default_factory=OidcConfig)
    keys: KeysConfig = field(default_factory=KeysConfig)
    measures: MeasuresConfig = field(default_factory=MeasuresConfig)
    transfers: TransfersConfig = field(default_factory=TransfersConfig)
    log: LogConfig = field(default_factory=LogConfig)

    @property
    def folder(self) -> Path:
        """The deployment folder."""
        return self.path.parent

    def site_of(self, database: str) -> SiteConfig | None:
        """The site that holds `database`."""
        return next((site for site in self.sites if database in site.databases), None)


def load_config(folder: Path) -> Config:
    """Read `folder/ringfort.toml`; raises `ConfigurationError` with file, line and what to do."""
    document = load_toml(folder.absolute() / "ringfort.toml")
    data = dict(document.data)
    organisation = data.pop("organisation", "")
    if not isinstance(organisation, str) or not organisation:
        raise document.error("`organisation` must be a non-empty text", "organisation")
    region = _section(document, RegionConfig, ("region",), data.pop("region", {}))
    at_gate, within = _tables_within(data.pop("gateway", {}))
    authentication = _section(
        document, AuthenticationConfig, ("gateway", "authentication"), within.pop("authentication", {})
    )
    certificates = within.pop("client_certificates", {})
    client_certificates = _section(
        document, ClientCertificatesConfig, ("gateway", "client_certificates"), certificates
    )
    oidc = _section(document, OidcConfig, ("gateway", "oidc"), within.pop("oidc", {}))
    gateway = _section(document, GatewayConfig, ("gateway",), {**at_gate, **within} if within else at_gate)
    ledger = _section(document, LedgerConfig, ("ledger",), data.pop("ledger", {}))
    limits = _section(document, LimitsConfig, ("limits",), data.pop("limits", {}))
    keys = _section(document, KeysConfig, ("keys",), data.pop("keys", {}))
    measures = _section(document, MeasuresConfig, ("measures",), data.pop("measures", {}))
    transfers = _section(document, TransfersConfig, ("transfers",), data.pop("transfers", {}))
    log = _section(document, LogConfig, ("log",), data.pop("log", {}))
    sites_data = data.pop("site", {})
    if data:
        key = next(iter(data))
        raise document.error(f"unknown key `{key}`", key, hint="remove it, or correct its spelling")
    if not isinstance(sites_data, dict):
        raise document.error("`site` must be tables such as [site.dublin-1]", "site")
    sites = []
    for name, values in sites_data.items():
        if not _NAME.fullmatch(name):
            raise document.error(
                f"site name `{name}` is not valid", "site", name, hint="use a-z, 0-9 and -, at most 40"
            )
        sites.append(_section(document, SiteConfig, ("site", name), values, name=name))
    config = Config(
        document.path,
        organisation,
        region,
        gateway,
        ledger,
        limits,
        tuple(sites),
        authentication,
        client_certificates,
        oidc,
        keys,
        measures,
        transfers,
        log,
    )
    _validate(document, config)
    _at_least(document, LEAST_MEASURES_MIB, measures.memory_mib, "measures", "memory_mib")
    _at_least(document, LEAST_SILENCE_SECONDS, transfers.silence_seconds, "transfers", "silence_seconds")
    _validate_log(document, log)
    return config


def _tables_within(values: object) -> tuple[Any, dict[str, Any]]:
    """A table's own keys, and the tables within it; what is no table stays as it is."""
    if not isinstance(values, dict):
        return values, {}
    within = {key: value for key, value in values.items() if isinstance(value, dict)}
    return {key: value for key, value in values.items() if key not in within}, within


def _section(
    document: TomlDocument, kind: type[_Section], keys: tuple[str, ...], values: object, **fixed: str
) -> _Section:
    if not isinstance(values, dict):
        raise document.error(f"`{'.'.join(keys)}` must be a table", *keys)
    fields = {each.name: each for each in dataclasses.fields(kind) if each.name not in fixed}
    checked: dict[str, Any] = dict(fixed)
    for key, value in values.items():
        if key not in fields:
            raise document.error(
                f"unknown key `{key}` in [{'.'.join(keys)}]",
                *keys,
                key,
                hint="known keys: " + ", ".join(sorted(fields)),
            )
        checked[key] = _typed(document, fields[key].type, (*keys, key), value)
    return kind(**checked)


def _typed(document: TomlDocument, annotation: object, keys: tuple[str, ...], value: object) -> object:
    name = f"`{'.'.join(keys)}`"
    if annotation == "str" and isinstance(value, str):
        return value
    if annotation == "bool" and isinstance(value, bool):
        return value
    if annotation == "int" and isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise document.error(f"{name} must not be negative", *keys)
        return value
    if annotation == "float" and isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 < value < 1e9:
            raise document.error(f"{name} must be more than zero", *keys)
        return float(value)
    if (
        annotation == "tuple[str, ...]"
        and isinstance(value, list)
        and all(isinstance(each, str) for each in value)
    ):
        return tuple(value)
    words = {"str": "a text", "bool": "true or false", "int": "a whole number", "float": "a number"}
    expected = words.get(str(annotation), "a list of texts")
    raise document.error(f"{name} must be {expected}", *keys)


def _validate_keys(document: TomlDocument, keys: KeysConfig) -> None:
    if keys.store not in {"file", "pkcs11"}:
        raise document.error("`keys.store` must be `file` or `pkcs11`", "keys", "store")
    if keys.store == "pkcs11":
        for name in ("module", "token", "key_label"):
            if not getattr(keys, name):
                raise document.error(
                    f"`keys.store` is `pkcs11`, and `keys.{name}` is not set", "keys", "store"
                )


def _validate_log(document: TomlDocument, log: LogConfig) -> None:
    if log.format not in {"text", "json"}:
        raise document.error("`log.format` must be `text` or `json`", "log", "format")
    if log.level not in {"debug", "info", "warning", "error", "critical"}:
        words = "`log.level` must be `debug`, `info`, `warning`, `error` or `critical`"
        raise document.error(words, "log", "level")


def _at_least(document: TomlDocument, least: int, value: int, *keys: str) -> None:
    if value < least:
        raise document.error(f"`{'.'.join(keys)}` must be at least {least}", *keys)


def _validate(document: TomlDocument, config: Config) -> None:
    for code in config.region.countries:
        if not _COUNTRY.fullmatch(code):
            raise document.error(
                f"`{code}` is not an ISO 3166-1 alpha-2 code", "region", "countries", hint="for example IE"
            )
    if config.gateway.country and not _COUNTRY.fullmatch(config.gateway.country):
        raise document.error("`gateway.country` must be a code such as IE", "gateway", "country")
    if not 1_024 <= config.gateway.statement_text_bytes <= 262_144:
        raise document.error(
            "`gateway.statement_text_bytes` must be 1024 to 262144", "gateway", "statement_text_bytes"
        )
    if config.gateway.tls not in {"required", "optional"}:
        raise document.error("`gateway.tls` must be `required` or `optional`", "gateway", "tls")
    _validate_keys(document, config.keys)
    if not config.authentication.failures_before_delay or not (
        config.authentication.address_failures_before_delay
    ):
        raise document.error(
            "failures before a delay must be 1 or more", "gateway", "authentication", "failures_before_delay"
        )
    _validate_authentication(document, config.authentication)
    if config.client_certificates.certificate not in {"sufficient", "required"}:
        raise document.error(
            "`certificate` must be `sufficient` or `required`",
            "gateway",
            "client_certificates",
            "certificate",
        )
    if config.client_certificates.certificate == "required" and not config.client_certificates.ca:
        raise document.error(
            "certificates are required, and `ca` does not say whose",
            "gateway",
            "client_certificates",
            "certificate",
        )
    for section, key, port in (
        ("gateway", "port", config.gateway.port),
        ("ledger", "http_port", config.ledger.http_port),
    ):
        if port > 65_535:
            raise document.error(f"`{section}.{key}` is not a port", section, key)
    if not 0 <= config.gateway.workers <= MOST_WORKERS:
        raise document.error(f"`gateway.workers` must be 0 to {MOST_WORKERS}", "gateway", "workers")
    if bool(config.gateway.tls_certificate) != bool(config.gateway.tls_key):
        raise document.error("`tls_certificate` and `tls_key` go together", "gateway", "tls_certificate")
    if not re.fullmatch(r"[!-*,-~]{1,255}", config.ledger.origin) or "://" in config.ledger.origin:
        raise document.error(
            "`ledger.origin` must have no scheme, space or plus sign",
            "ledger",
            "origin",
            hint="for example ringfort.example.eu/log",
        )
    _validate_oidc(document, config.oidc)
    _validate_sites(document, config)


def _validate_authentication(document: TomlDocument, settings: AuthenticationConfig) -> None:
    table = ("gateway", "authentication")
    if settings.past_credential not in {"end", "continue"}:
        raise document.error("`past_credential` must be `end` or `continue`", *table, "past_credential")
    for key in ("unauthenticated_connections", "unauthenticated_per_address"):
        if not 1 <= getattr(settings, key) <= 100_000:
            raise document.error(f"`{key}` must be 1 to 100000", *table, key)


def _validate_oidc(document: TomlDocument, oidc: OidcConfig) -> None:
    def fault(text: str, key: str, hint: str = "") -> ConfigurationError:
        return document.error(text, "gateway", "oidc", key, hint=hint)

    if oidc == OidcConfig():
        return
    for key in ("issuer", "audience", "principal_claim"):
        if not getattr(oidc, key):
            raise fault(f"`{key}` is missing", key)
    if bool(oidc.jwks_url) == bool(oidc.jwks_file):
        raise fault("the issuer's keys need one source", "jwks_url", hint="set `jwks_url` or `jwks_file`")
    if oidc.jwks_url and not oidc.jwks_url.startswith("https://"):
        raise fault("`jwks_url` must be an HTTPS address", "jwks_url")
    if oidc.clock_skew_seconds > 300:
        raise fault("`clock_skew_seconds` must be 0 to 300", "clock_skew_seconds")
    if not 1 <= oidc.longest_lifetime_seconds <= 31 * 86_400:
        raise fault("`longest_lifetime_seconds` must be 1 to 31 days", "longest_lifetime_seconds")


def _validate_sites(document: TomlDocument, config: Config) -> None:
    seen: dict[str, str] = {}
    for site in config.sites:
        if site.kind not in {"embedded", "external"}:
            raise document.error("`kind` must be `embedded` or `external`", "site", site.name, "kind")
        if not _COUNTRY.fullmatch(site.country):
            raise document.error("`country` must be a code such as IE", "site", site.name, "country")
        for database in site.databases:
            if database in seen:
                raise document.error(f"database `{database}` is at two sites", "site", site.name, "databases")
            seen[database] = site.name


__all__ = [
    "EEA",
    "AuthenticationConfig",
    "ClientCertificatesConfig",
    "Config",
    "ConfigurationError",
    "GatewayConfig",
    "LedgerConfig",
    "LimitsConfig",
    "LogConfig",
    "OidcConfig",
    "RegionConfig",
    "SiteConfig",
    "load_config",
]

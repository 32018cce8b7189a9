"""Makes a deployment folder: configuration, zones, secrets, policies; and its embedded site's database.

Invariants: a folder that holds anything unknown is refused; while it is being made it carries the mark
`UNFINISHED`, so that a second try knows what the first left, keeps every secret that is there, and
finishes; nothing that a finished deployment holds is ever overwritten. What each file is for:
`ringfort.config`.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from psycopg import sql

from ringfort.config import EEA, SiteConfig, load_config
from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.paths import Layout, private_folder
from ringfort.policy.bundle import write_defaults
from ringfort.private_files import FileKeyStore, sync_folder
from ringfort.sites.connect import admin_connection
from ringfort.sites.custody import ROOT, ROOT_BYTES, Custody, CustodySettings
from ringfort.sites.tabular import MAX_NAME_BYTES
from ringfort.sites.tls import ensure_tls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from psycopg import Connection as AnyConnection

    from ringfort.sites.postgres import EmbeddedServer

    Connection = AnyConnection[tuple[Any, ...]]

UNFINISHED = "init-unfinished"
DATA_OWNER = "ringfort_data"
"""Owns the tables of our own servers and may nothing else: an operate session acts as their owner."""
GATEWAY_NAMES = ("localhost", "127.0.0.1", "::1")
_KEYS = ("ledger.key", "evidence.key", "scram-mock.key")
_RESERVED = frozenset({"postgres", "template0", "template1"})

_CONFIGURATION = """\
# A Ringfort deployment. Values that stand here after a `#` are the defaults.
organisation = {organisation}

[region]                      # whose people's data is kept at home: ISO 3166-1 alpha-2 codes
name = "EEA"
countries = [{countries}]

[gateway]                     # where staff connect, with any PostgreSQL client
host = "127.0.0.1"
port = 6432                   # 0 takes a free one
tls = "required"              # "optional" also lets plaintext in, from this machine only
# tls_certificate = ""        # PEM files of your own; without them clients trust secrets/tls/ca.pem
# tls_key = ""
# workers = 0

[ledger]                      # the record of every decision and every access
origin = {origin}  # its name in the world: set it before the first start, never change it
http_host = "127.0.0.1"
http_port = 6480

[limits]                      # of one session; 0 means none; there are more, see the reference
rows_per_session = 1000000
bytes_per_session = 1000000000

[log]                         # what every process says, on standard error and in logs/
format = "text"               # "json" for one object a line
level = "info"

{site}"""
_EMBEDDED = """\
[site.{name}]                 # a PostgreSQL that Ringfort runs itself: for trying and testing
kind = "embedded"
country = {country}                # where its disks are
databases = [{databases}]
port = 0                      # 0 takes a free one at each start
"""
_EXTERNAL = """\
[site.{name}]                 # your own PostgreSQL; its connection string is in secrets/site-{name}.dsn
kind = "external"
country = {country}                # where its disks are
databases = [{databases}]
"""
_ZONES = """\
# Which country a client's network counts as; the longest network that holds an address decides. An address in
# no network is unproven, and treated as one in a third country.

[[zone]]
network = "127.0.0.0/8"
country = {country}
note = "this machine"

[[zone]]
network = "::1/128"
country = {country}
note = "this machine"

# [[zone]]
# network = "10.20.0.0/16"
# country = "US"
# note = "office in Boston"
"""


@dataclass(frozen=True)
class Plan:
    """What a new deployment is to be."""

    organisation: str
    site: SiteConfig


class Deployment:
    """A deployment folder in the making: `begin`, then what is to be loaded, then `finish`; or `abandon`."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.layout = Layout(folder.absolute())
        self.plan = plan
        self.resumed = False
        self._made_folder = False
        self._taken = False  # only ever set once our mark stands in a folder that was empty

    def begin(self) -> None:
        """Take the folder, write all but the catalogue; `UsageError` if it is neither empty nor half-made."""
        folder = self.layout.folder
        self._take(folder)
        site = self.plan.site
        private_folder(self.layout.state)
        private_folder(self.layout.secrets)
        private_folder(self.layout.secrets / "scram")
        self._write("ringfort.toml", _configuration(self.plan, folder.name))
        load_config(folder)  # what is written is what is read
        self._write("zones.toml", _ZONES.format(country=_text(site.country)))
        write_defaults(self.layout.policy)
        self._make_secrets()

    def finish(self, catalogue: str) -> None:
        """Write the catalogue and take the mark away: from here on the deployment is whole."""
        self._write("catalog.toml", catalogue)
        sync_folder(self.layout.folder)
        (self.layout.folder / UNFINISHED).unlink()
        sync_folder(self.layout.folder)

    def abandon(self, server: EmbeddedServer | None = None) -> None:
        """Take back what `begin` made, server and all; a resumed deployment is left for the next try.

        Nothing happens unless `begin` took an empty folder: what was there before is not ours to delete.
        """
        if not self._taken:
            return
        if server is not None:
            server.remove()
        for each in self.layout.folder.iterdir():
            if each.is_dir():
                shutil.rmtree(each)
            else:
                each.unlink()
        if self._made_folder:
            self.layout.folder.rmdir()

    def _take(self, folder: Path) -> None:
        mark = folder / UNFINISHED
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"`{folder}` is not a folder")
        try:
            if mark.exists():
                self.resumed = True
                return
            if (folder / "ringfort.toml").exists():
                raise UsageError(
                    f"`{folder}` holds a deployment already",
                    hint="start it with `ringfort up`, or choose another",
                )
            if folder.exists() and any(folder.iterdir()):
                raise UsageError(f"`{folder}` is not empty", hint="choose a new or an empty folder")
            self._made_folder = not folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
            mark.touch(mode=0o600, exist_ok=False)
            self._taken = True
        except OSError as error:
            raise MissingEnvironmentError(
                f"cannot write in `{folder}`: {(error.strerror or 'error').lower()}",
                hint="choose another folder",
            ) from None

    def _write(self, name: str, text: str) -> None:
        path = self.layout.folder / name
        temporary = path.with_suffix(".new")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)

    def _make_secrets(self) -> None:
        store = FileKeyStore(self.layout.secrets)
        for name in _KEYS:
            if not store.has(name):
                key = (
                    X25519PrivateKey.generate().private_bytes_raw()
                    if name == "evidence.key"
                    else os.urandom(32)
                )
                store.create(name, base64.b64encode(key) + b"\n")
        custody = Custody(CustodySettings.of(load_config(self.layout.folder)))
        if not custody.has(ROOT):
            custody.make_current()
            custody.create(ROOT, os.urandom(ROOT_BYTES))
        ensure_tls(private_folder(self.layout.tls), GATEWAY_NAMES)


def checked_name(database: str) -> str:
    """`database`, if a database of ours can be called so; raises `UsageError`."""
    if database in _RESERVED or not 1 <= len(database.encode()) <= MAX_NAME_BYTES or "\0" in database:
        raise UsageError(f"a database cannot be called `{database}`", hint="choose another name with --name")
    return database


def create_database(server: EmbeddedServer, name: str, *, replace: bool = False) -> None:
    """A new, empty database `name` on our own server, closed to everybody who is not let in by name.

    `replace` drops a half-loaded one first. `DATA_OWNER` may make tables in it.
    """
    identifier = sql.Identifier(checked_name(name))
    with admin_connection(server.admin_dsn()) as connection:
        if replace:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
        for each in (name, "postgres", "template1"):
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(each)))
    owner = sql.Identifier(DATA_OWNER)
    with admin_connection(server.admin_dsn(name)) as connection:
        connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (DATA_OWNER,)).fetchall():
            connection.execute(
                sql.SQL(
                    "CREATE ROLE {} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
                ).format(owner)
            )
        connection.execute(sql.SQL("GRANT USAGE, CREATE ON SCHEMA public TO {}").format(owner))


@contextlib.contextmanager
def as_data_owner(connection: Connection) -> Iterator[None]:
    """What is made within belongs to `DATA_OWNER`."""
    connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(DATA_OWNER)))
    yield
    connection.execute("RESET ROLE")


def _configuration(plan: Plan, folder: str) -> str:
    site = plan.site
    template = _EMBEDDED if site.kind == "embedded" else _EXTERNAL
    slug = re.sub(r"[^a-z0-9]+", "-", (plan.organisation or folder).lower()).strip("-")[:40] or "ringfort"
    rows = [", ".join(map(_text, EEA[at : at + 15])) for at in range(0, len(EEA), 15)]
    return _CONFIGURATION.format(
        organisation=_text(plan.organisation),
        countries="\n  " + ",\n  ".join(rows) + ",\n",
        origin=_text(f"{slug}.example/ringfort-{os.urandom(4).hex()}"),
        site=template.format(
            name=site.name, country=_text(site.country), databases=", ".join(map(_text, site.databases))
        ),
    )


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return (
        '"'
        + "".join(each if each >= " " and each != "\x7f" else f"\\u{ord(each):04x}" for each in escaped)
        + '"'
    )

"""Which databases are served: watched for the supervisor, told to people and to scripts.

The ready file means *served*: it is there exactly while every database of the deployment is open to sessions.
A database that is not served is named with the reason and what to do; it opens by itself once the reason is
gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ringfort.errors import MissingEnvironmentError, RingfortError
from ringfort.gateway.ipc import IpcClient

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ringfort.sites.postgres import EmbeddedServer

ASK_SECONDS = 5.0
LOOK_SECONDS = 0.5
UNKNOWN = "the provisioner does not answer"
SHOWN_FILLS = 20
_LASTING = ("site", "served", "state", "reason", "hint")  # what of a database stands in the ready file

_NOTHING: dict[str, Any] = {"faults": [], "fills": []}


def ask_databases(socket: str) -> list[dict[str, Any]]:
    """Each database: `name`, `site`, `served`, `state`, `reason`, `hint`, `faults`, `fills`."""

    async def ask() -> dict[str, Any]:
        client = IpcClient(socket, timeout=ASK_SECONDS)
        try:
            return await client.request("health")
        finally:
            client.close()

    shown = (*_LASTING, "faults", "fills")
    return [
        {"name": each["database"], **{name: each[name] for name in shown}}
        for each in asyncio.run(ask())["databases"]
    ]


class Serving:
    """Looks again and again, in a thread; keeps the ready file true."""

    def __init__(self, socket: str, known: list[tuple[str, str]]) -> None:
        self._socket = socket
        self.databases: list[dict[str, Any]] = [
            {
                "name": name,
                "site": site,
                "served": False,
                "state": "unknown",
                "reason": UNKNOWN,
                "hint": "",
                **_NOTHING,
            }
            for name, site in known
        ]
        self._ready_file: Path | None = None
        self._facts: dict[str, Any] = {}
        self._written = ""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="serving", daemon=True)

    @property
    def served(self) -> bool:
        """Whether every database is."""
        return all(each["served"] for each in self.databases)

    def look(self) -> None:
        """Ask once; without an answer nothing counts as served."""
        try:
            self.databases = ask_databases(self._socket)
        except RingfortError:
            unknown = {
                "served": False,
                "state": "unknown",
                "reason": UNKNOWN,
                "hint": "see `ringfort logs`",
            } | _NOTHING
            self.databases = [{**each, **unknown} for each in self.databases]

    def begin(self, ready_file: Path | None = None, facts: dict[str, Any] | None = None) -> None:
        """Look on, and keep `ready_file` (with `facts` in it) there exactly while everything is served."""
        self._ready_file, self._facts = ready_file, facts or {}
        self._tell()
        self._thread.start()

    def end(self) -> None:
        """Look no more; the ready file goes."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2 * ASK_SECONDS)
        with self._lock:
            self._remove()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self.look()
            with contextlib.suppress(RingfortError):
                self._tell()

    def _tell(self) -> None:
        with self._lock:
            if self._ready_file is None or self._stop.is_set():
                return
            lasting = [{name: each[name] for name in ("name", *_LASTING)} for each in self.databases]
            text = json.dumps({**self._facts, "databases": lasting}) if self.served else ""
            if text == self._written and (not text or self._ready_file.exists()):
                return
            if text:
                write_whole(self._ready_file, text + "\n")
                self._written = text
            else:
                self._remove()

    def _remove(self) -> None:
        if self._ready_file is not None:
            with contextlib.suppress(OSError):
                self._ready_file.unlink(missing_ok=True)
        self._written = ""


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise MissingEnvironmentError(f"`{path}` cannot be written: {error.strerror}") from None


def sites_told(sites: Mapping[str, EmbeddedServer]) -> list[dict[str, Any]]:
    """The embedded servers: whether each runs, and where its files really lie."""
    return [
        {"name": name, "running": each.running, "folder": str(each.place)} for name, each in sites.items()
    ]


def described(databases: list[dict[str, Any]]) -> list[str]:
    """For each database one line, and if it is not served what to do."""
    lines = []
    for each in databases:
        if each["served"]:
            lines.append(f"served      {each['name']} (site {each['site']})")
        else:
            lines.append(f"not served  {each['name']} (site {each['site']}): {each['reason']}")
            if each["hint"]:
                lines.append(f"            next: {each['hint']}")
        lines += described_waits(each["faults"], each["fills"])
    return lines


def described_waits(faults: list[dict[str, Any]], fills: list[dict[str, Any]]) -> list[str]:
    """What cannot be read and why, and whose pseudonyms are being prepared: one line for each table.

    For operators: it names tables. A table that cannot be read is named once a reason, however many domains
    and columns wait for it, since the first of them; of long lists of columns the beginning is shown.
    """
    began: dict[str, float] = {}
    for each in faults:
        what = "keeps what it had" if each.get("readable") else "cannot be read"
        fault = f"fault       {each['table']} {what}: {each['reason']}"
        began[fault] = min(each.get("since") or math.inf, began.get(fault, math.inf))
    lines = [f"{fault}{_since(first)}" for fault, first in began.items()]
    works, waits = [], []
    for each in fills:
        if not each["reason"]:
            column = f"{each['table']}.{each['column']}"
            if each["expected"] > 0:
                works.append(f"fill        {column}: {each['done']} of about {each['expected']} keys")
            else:
                waits.append(f"fill        {column}: waits")
    fill = list(dict.fromkeys([*works, *waits]))
    if len(fill) > SHOWN_FILLS:
        fill[SHOWN_FILLS:] = [f"fill        and {len(fill) - SHOWN_FILLS} more columns: --json lists them"]
    return [*lines, *fill]


def _since(began: float) -> str:
    """The time from which something has been so, where it is known."""
    return "" if math.isinf(began) else f", since {datetime.fromtimestamp(began, UTC):%Y-%m-%dT%H:%M:%SZ}"


def where_to_connect(host: str, port: int, ledger_url: str, databases: list[dict[str, Any]]) -> str:
    """What `ringfort up` says once it is up: what is served and how to connect, or why not."""
    lines = [f"gateway     {host}:{port} (PostgreSQL protocol)", f"ledger      {ledger_url}"]
    lines += described(databases)
    lines += [
        f'connect     psql "host={host} port={port} dbname={each["name"]} user=NAME'
        ' options=-cringfort.purpose=PURPOSE"'
        for each in databases
        if each["served"]
    ]
    if not all(each["served"] for each in databases):
        lines.append("what is not served opens by itself when the reason is gone: see `ringfort status DIR`")
    return "\n".join(lines)


__all__ = [
    "Serving",
    "ask_databases",
    "described",
    "described_waits",
    "sites_told",
    "where_to_connect",
    "write_whole",
]

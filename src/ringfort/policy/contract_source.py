"""`transfers/NAME.toml` to a `Contract`. Strict: an unknown key, word or shape is refused with file and line.

Left out: whether catalogue, principals and policy agree with it (`contract_check`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ringfort.policy.contract import (
    DEROGATION,
    MECHANISMS,
    METHODS,
    NAME,
    OUTPUTS,
    PERIODS,
    SCHEDULES,
    SENT,
    WITHOUT_ASSESSMENT,
    Contract,
    ContractColumn,
    ContractTable,
    Recipient,
    Seal,
    Target,
    seal_key_fault,
)
from ringfort.policy.forms import Form
from ringfort.toml_source import TomlDocument, load_toml, parse_toml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ringfort.errors import ConfigurationError

MOST_RETENTION_DAYS = 3_660
MOST_TABLES = 1_000
_COUNTRY = re.compile(r"[A-Z]{2}")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/#@-]{0,127}")
_DAYS = re.compile(r"([1-9][0-9]{0,3})d")
_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9][A-Za-z0-9._=-]{0,127}){0,16}/?")
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-fA-F:]+\](:[0-9]{1,5})?")
_LOOPBACK = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?")
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_TOP = (
    "dataset", "purpose", "owner", "approver", "schedule", "retention", "format", "recipient", "legal",
    "volume", "target", "table", "source", "seal", "measures",
)  # fmt: skip


def load_contract(path: Path) -> tuple[Contract, TomlDocument]:
    """The contract of a file, and the document for messages; raises `ConfigurationError`."""
    return _from(load_toml(path))


def parse_contract(text: str, path: Path) -> tuple[Contract, TomlDocument]:
    """`load_contract` of `text`, as if it stood in `path`."""
    return _from(parse_toml(text, path))


def _from(document: TomlDocument) -> tuple[Contract, TomlDocument]:
    return _Reader(document).contract(), document


class _Reader:
    """Reads one document; every fault points at its line."""

    def __init__(self, document: TomlDocument) -> None:
        self._document = document

    def contract(self) -> Contract:
        name = self._document.path.stem
        if not NAME.fullmatch(name) or self._document.path.suffix != ".toml":
            raise self._document.error(
                "this is not the name of a transfer", hint="use a-z, 0-9 and -, at most 63, then .toml"
            )
        data = self._document.data
        self._known((), data, _TOP)
        recipient = self._recipient(self._table(("recipient",), data))
        legal = self._table(("legal",), data)
        self._known(("legal",), legal, ("mechanism", "assessment"))
        schedule = self._word(("schedule",), data, SCHEDULES)
        mechanism = self._word(("legal", "mechanism"), legal, tuple(MECHANISMS))
        if mechanism == DEROGATION and schedule != "once":
            raise self._fault(
                "a derogation of Article 49 is for a transfer that does not repeat",
                ("schedule",),
                'write schedule = "once", or rely on another mechanism',
            )
        assessment = self._text(("legal", "assessment"), legal, _LABEL, default="")
        if not assessment and mechanism not in WITHOUT_ASSESSMENT:
            raise self._fault(
                f"`{mechanism}` needs a reference to the transfer impact assessment",
                ("legal", "assessment"),
                'for example assessment = "TIA-2026-014"',
            )
        volume = self._table(("volume",), data)
        self._known(("volume",), volume, ("rows", "bytes", "per"))
        measures = self._table(("measures",), data, optional=True)
        self._known(("measures",), measures, ("smallest_group",))
        source = self._table(("source",), data, optional=True)
        self._known(("source",), source, ("country", "files"))
        files = self._files(source)
        tables = self._tables(self._table(("table",), data), files)
        country = self._text(("source", "country"), source, _COUNTRY, default="")
        if bool(files) != bool(country):
            raise self._fault("`source.files` and `source.country` go together", ("source",))
        return Contract(
            name=name,
            dataset=self._text(("dataset",), data, None),
            purpose=self._text(("purpose",), data, _LABEL),
            owner=self._text(("owner",), data, _LABEL),
            approver=self._text(("approver",), data, _LABEL),
            recipient=recipient,
            mechanism=mechanism,
            assessment=assessment,
            schedule=schedule,
            retention_days=self._days(data),
            cap_rows=self._count(("volume", "rows"), volume, least=1),
            cap_bytes=self._count(("volume", "bytes"), volume, default=0),
            cap_per=self._word(("volume", "per"), volume, PERIODS),
            target=self._target(self._table(("target",), data)),
            tables=tables,
            output=self._word(("format",), data, OUTPUTS, default="parquet"),
            smallest_group=self._count(("measures", "smallest_group"), measures, default=0),
            source_country=country,
            seal=self._seal(data),
        )

    def _recipient(self, data: Mapping[str, Any]) -> Recipient:
        at = ("recipient",)
        self._known(at, data, ("principal", "entity", "country"))
        return Recipient(
            self._text((*at, "principal"), data, _LABEL),
            self._text((*at, "entity"), data, None),
            self._text((*at, "country"), data, _COUNTRY),
        )

    def _target(self, data: Mapping[str, Any]) -> Target:
        at = ("target",)
        self._known(at, data, ("address", "country", "endpoint", "region"))
        address = self._text((*at, "address"), data, None)
        endpoint = self._text((*at, "endpoint"), data, _ENDPOINT, default="")
        region = self._text((*at, "region"), data, _REGION, default="")
        is_s3 = address.startswith("s3:")
        if is_s3 and not _S3.fullmatch(address):
            raise self._fault("this is no S3 address", (*at, "address"), "write it like s3://bucket/prefix")
        if not is_s3:
            if ".." in address.split("/") or "\\" in address or "://" in address:
                raise self._fault(
                    "this is no folder to release to", (*at, "address"), "write a path without `..`"
                )
            if endpoint or region:
                raise self._fault("a folder has no endpoint and no region", at)
        if endpoint.startswith("http://") and not _LOOPBACK.fullmatch(endpoint):
            raise self._fault(
                "the endpoint is not reached over TLS", (*at, "endpoint"), "write an https:// address"
            )
        country = self._text((*at, "country"), data, _COUNTRY, default="")
        return Target(address.rstrip("/") if is_s3 else address, country, endpoint, region)

    def _seal(self, data: Mapping[str, Any]) -> Seal | None:
        if "seal" not in data:
            return None
        values = self._table(("seal",), data)
        self._known(("seal",), values, ("recipient", "overseer"))
        keys = [self._seal_key(("seal", each), values) for each in ("recipient", "overseer")]
        if keys[0] == keys[1]:  # one key has one spelling: `seal_key_fault`
            raise self._fault(
                "recipient and overseer have the same key", ("seal", "overseer"), "each holds its own"
            )
        return Seal(*keys)

    def _seal_key(self, keys: tuple[str, ...], data: Mapping[str, Any]) -> str:
        text = self._text(keys, data, None)
        fault = seal_key_fault(text)
        if fault:
            raise self._fault(
                f"`{'.'.join(keys)}` is no X25519 public key: it {fault}",
                keys,
                f"the {keys[-1]} runs `ringfort transfer key FILE`, which prints one",
            )
        return text

    def _files(self, source: Mapping[str, Any]) -> dict[str, str]:
        files = source.get("files", {})
        if not isinstance(files, dict) or not all(isinstance(each, str) and each for each in files.values()):
            raise self._fault(
                "`source.files` must name a file or folder for each table",
                ("source", "files"),
                'for example files = { orders = "/data/orders" }',
            )
        for each in files.values():
            if "\0" in each or ".." in each.split("/"):
                raise self._fault("a path holds `..`", ("source", "files"))
        return files

    def _tables(self, data: Mapping[str, Any], files: dict[str, str]) -> tuple[ContractTable, ...]:
        if not 1 <= len(data) <= MOST_TABLES:
            raise self._fault(f"a contract has 1 to {MOST_TABLES} tables", ("table",))
        surplus = sorted(set(files) - set(data))
        if surplus or (files and len(files) != len(data)):
            raise self._fault(
                "`source.files` names other tables than the contract" if surplus
                else "`source.files` does not name every table of the contract",
                ("source", "files"),
            )  # fmt: skip
        return tuple(self._one_table(name, self._table(("table", name), data), files) for name in data)

    def _one_table(self, name: str, data: Mapping[str, Any], files: dict[str, str]) -> ContractTable:
        at = ("table", name)
        self._known(at, data, ("column", "quasi_identifiers", "sensitive"))
        values = self._table((*at, "column"), data)
        columns = tuple(self._column((*at, "column", each), each, values[each]) for each in values)
        if not columns:
            raise self._fault(f"table `{name}` has no column", at)
        names = {each.name for each in columns}
        declared = []
        for key in ("quasi_identifiers", "sensitive"):
            listed = self._names((*at, key), data)
            for each in listed:
                if each not in names:
                    raise self._fault(f"`{each}` does not leave with `{name}`", (*at, key))
            declared.append(listed)
        return ContractTable(name, columns, declared[0], declared[1], files.get(name, ""))

    def _column(self, keys: tuple[str, ...], name: str, value: object) -> ContractColumn:
        data: Mapping[str, Any] = value if isinstance(value, dict) else {"form": value}
        self._known(keys, data, ("form", "method", "allow"))
        form = Form(self._word((*keys, "form"), data, tuple(map(str, SENT)), at=keys))
        method = self._word((*keys, "method"), data, METHODS, default="", at=keys)
        if method and form is not Form.PSEUDONYM:
            raise self._fault(f"column `{name}` is not sent as a pseudonym, so it has no method", keys)
        if form is Form.PSEUDONYM:
            method = method or METHODS[0]
        return ContractColumn(name, form, method, self._names((*keys, "allow"), data))

    # -- values ------------------------------------------------------------------------------------

    def _fault(self, message: str, keys: tuple[str, ...], hint: str = "") -> ConfigurationError:
        return self._document.error(message, *keys, hint=hint)

    def _known(self, at: tuple[str, ...], data: Mapping[str, Any], known: Sequence[str]) -> None:
        for key in data:
            if key not in known:
                where = f" in [{'.'.join(at)}]" if at else ""
                raise self._fault(
                    f"unknown key `{key}`{where}", (*at, key), "known keys: " + ", ".join(sorted(known))
                )

    def _table(
        self, keys: tuple[str, ...], data: Mapping[str, Any], *, optional: bool = False
    ) -> dict[str, Any]:
        value = data.get(keys[-1], {} if optional else None)
        if value is None:
            raise self._fault(f"[{'.'.join(keys)}] is missing", keys, "see transfers.md of the manual")
        if not isinstance(value, dict):
            raise self._fault(f"`{'.'.join(keys)}` must be a table", keys)
        return value

    def _text(
        self,
        keys: tuple[str, ...],
        data: Mapping[str, Any],
        pattern: re.Pattern[str] | None,
        default: str | None = None,
    ) -> str:
        value = data.get(keys[-1], default)
        if value is None:
            raise self._fault(f"`{'.'.join(keys)}` is missing", keys)
        if default is not None and value == default:
            return default
        if not isinstance(value, str) or not value or len(value) > 1_000 or not value.isprintable():
            raise self._fault(f"`{'.'.join(keys)}` must be a text of one line", keys)
        if pattern is not None and not pattern.fullmatch(value):
            raise self._fault(f"`{'.'.join(keys)}` is not valid", keys)
        return value

    def _word(
        self,
        keys: tuple[str, ...],
        data: Mapping[str, Any],
        words: Sequence[str],
        *,
        default: str | None = None,
        at: tuple[str, ...] = (),
    ) -> str:
        value = data.get(keys[-1], default)
        if default is not None and value == default:
            return default
        if not isinstance(value, str) or value not in words:
            missing = value is None
            raise self._fault(
                f"`{'.'.join(keys)}` is {'missing' if missing else 'not a word that is known'}",
                at or keys,
                "one of " + ", ".join(words),
            )
        return value

    def _count(
        self, keys: tuple[str, ...], data: Mapping[str, Any], *, default: int | None = None, least: int = 0
    ) -> int:
        value = data.get(keys[-1], default)
        if value is None:
            raise self._fault(f"`{'.'.join(keys)}` is missing", keys)
        if type(value) is not int or not least <= value < 2**53:
            raise self._fault(f"`{'.'.join(keys)}` must be a whole number of at least {least}", keys)
        return value

    def _days(self, data: Mapping[str, Any]) -> int:
        text = self._text(("retention",), data, None)
        found = _DAYS.fullmatch(text)
        days = int(found[1]) if found else 0
        if not 1 <= days <= MOST_RETENTION_DAYS:
            raise self._fault(
                "`retention` is not a number of days", ("retention",), 'for example retention = "90d"'
            )
        return days

    def _names(self, keys: tuple[str, ...], data: Mapping[str, Any]) -> tuple[str, ...]:
        value = data.get(keys[-1], [])
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise self._fault(f"`{'.'.join(keys)}` must be a list of texts", keys)
        if len(set(value)) != len(value):
            raise self._fault(f"`{'.'.join(keys)}` names something twice", keys)
        return tuple(value)


__all__ = ["load_contract", "parse_contract"]

"""A transfer contract: what leaves, in which form, to whom, on which legal ground. Values only.

A contract never gives anything by itself: `contract_check` holds it against the policy in force. Its
canonical JSON (RFC 8785) is what an approver approves and what the ledger keeps, so equal contracts have
equal digests whatever their files look like. `contract_source` reads the file.

The legal words are those of the GDPR, chapter V: `MECHANISMS` names the instrument with its article. A
derogation of Article 49 is for what does not repeat (EDPB Guidelines 2/2018), so it goes with `once` only.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any

from ringfort.policy.canonical import canonical_bytes, digest_of, parse_canonical
from ringfort.policy.forms import Form
from ringfort.public_keys import x25519_fault

FORMAT = "ringfort-transfer-contract/1"
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""What a transfer may be called; its file is `transfers/NAME.toml`."""

WITHIN_REGION = "within-region"
DEROGATION = "derogation"
MECHANISMS: dict[str, str] = {
    WITHIN_REGION: "no transfer to a third country: the recipient is in the region",
    "adequacy-decision": "Article 45",
    "public-body-instrument": "Article 46(2)(a)",
    "binding-corporate-rules": "Article 46(2)(b), Article 47",
    "standard-contractual-clauses": "Article 46(2)(c) or (d)",
    "code-of-conduct": "Article 46(2)(e)",
    "certification": "Article 46(2)(f)",
    "authorised-clauses": "Article 46(3)",
    DEROGATION: "Article 49(1)",
}
WITHOUT_ASSESSMENT = frozenset({WITHIN_REGION, "adequacy-decision"})
"""Mechanisms that need no assessment of the recipient's country; any other names one."""

SCHEDULES = ("once", "daily", "weekly", "monthly", "on-demand")
PERIODS = ("run", "month", "year", "contract")
"""What a cap counts over: each run, the calendar month or year (UTC), or all runs there ever were."""
OUTPUTS = ("parquet", "csv")
METHODS = ("cmac", "ff1", "siv")
SENT = (Form.RAW, Form.MASKED, Form.GENERALISED, Form.PSEUDONYM)
"""The forms in which a column may leave; a column that is not named does not."""


@dataclass(frozen=True)
class Recipient:
    """Who receives: `principal` is registered in the ledger, as that legal entity in that country."""

    principal: str
    entity: str
    country: str


@dataclass(frozen=True)
class ContractColumn:
    """A column that leaves. `method` is of pseudonyms; `allow` names what inspection may find in it."""

    name: str
    form: Form
    method: str = ""
    allow: tuple[str, ...] = ()


@dataclass(frozen=True)
class ContractTable:
    """A table and its columns, in the order in which they leave.

    `files` is where its rows are read from instead of the site: a Parquet file or a folder of them.
    `quasi_identifiers` and `sensitive` are what re-identification is measured over.
    """

    name: str
    columns: tuple[ContractColumn, ...]
    quasi_identifiers: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    files: str = ""

    def column(self, name: str) -> ContractColumn | None:
        """The column called `name`, None if it does not leave."""
        return next((each for each in self.columns if each.name == name), None)


@dataclass(frozen=True)
class Target:
    """Where it is released: a folder, or `s3://BUCKET/PREFIX`. `country` "" is the recipient's."""

    address: str
    country: str = ""
    endpoint: str = ""
    region: str = ""

    @property
    def is_s3(self) -> bool:
        """Whether it is an S3-compatible address."""
        return self.address.startswith("s3://")


@dataclass(frozen=True)
class Seal:
    """X25519 public keys, base64: both holders together can open the files, neither can alone."""

    recipient: str
    overseer: str


def seal_key_fault(text: str) -> str:
    """Why `text` is no key of a `Seal`, in words that follow "the key"; "" if it is one."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return "is not base64"
    if base64.b64encode(raw).decode() != text:
        return "is not base64 as it is written (RFC 4648, section 4)"
    return x25519_fault(raw)


@dataclass(frozen=True)
class Contract:
    """One contract. `retention_days`: the recipient deletes that long after a release. Caps of 0 are none.

    `smallest_group` is the least k over the quasi-identifiers with which a run is released, 0 for any.
    `source_country` is where files lie that are read instead of a site; "" for a site.
    """

    name: str
    dataset: str
    purpose: str
    owner: str
    approver: str
    recipient: Recipient
    mechanism: str
    assessment: str
    schedule: str
    retention_days: int
    cap_rows: int
    cap_per: str
    target: Target
    tables: tuple[ContractTable, ...]
    cap_bytes: int = 0
    output: str = "parquet"
    smallest_group: int = 0
    source_country: str = ""
    seal: Seal | None = field(default=None)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical bytes, hexadecimal: what an approval names."""
        return digest_of(self.to_json())

    def table(self, name: str) -> ContractTable | None:
        """The table called `name`, None if nothing of it leaves."""
        return next((each for each in self.tables if each.name == name), None)

    def to_json(self) -> bytes:
        """The canonical bytes."""
        document = {"format": FORMAT} | dataclasses.asdict(self)
        return canonical_bytes(_plain(document))

    @classmethod
    def from_json(cls, blob: bytes) -> Contract:
        """The inverse of `to_json`; raises `ValueError` on anything but canonical bytes of a contract."""
        document = parse_canonical(blob)
        try:
            if document.pop("format") != FORMAT:
                raise ValueError("is not a transfer contract")
            tables = tuple(_table(each) for each in document.pop("tables"))
            seal = document.pop("seal")
            contract = cls(
                **document
                | {
                    "recipient": Recipient(**document["recipient"]),
                    "target": Target(**document["target"]),
                    "tables": tables,
                    "seal": None if seal is None else Seal(**seal),
                }
            )
            same = contract.to_json() == blob
        except (KeyError, TypeError, AttributeError):
            raise ValueError("is not a transfer contract") from None
        if not same:
            raise ValueError("is not a transfer contract")
        return contract


def _table(data: dict[str, Any]) -> ContractTable:
    columns = tuple(
        ContractColumn(each["name"], Form(each["form"]), each["method"], tuple(each["allow"]))
        for each in data["columns"]
    )
    return ContractTable(
        data["name"], columns, tuple(data["quasi_identifiers"]), tuple(data["sensitive"]), data["files"]
    )


def _plain(value: object) -> object:
    """Tuples as lists and forms as texts, as JSON has them."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Form) else value


__all__ = [
    "DEROGATION",
    "MECHANISMS",
    "METHODS",
    "NAME",
    "OUTPUTS",
    "PERIODS",
    "SCHEDULES",
    "SENT",
    "WITHIN_REGION",
    "WITHOUT_ASSESSMENT",
    "Contract",
    "ContractColumn",
    "ContractTable",
    "Recipient",
    "Seal",
    "Target",
    "seal_key_fault",
]

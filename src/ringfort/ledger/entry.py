"""Ledger entries: one frozen dataclass for each type <-> canonical bytes.

An entry is one JSON object in the form of RFC 8785 with `type`, `v` (the type's version), `time`, `actor`
and the type's own fields, at most 65,535 bytes. Decoding is strict: an unknown type, version or field, a
missing field, a wrong type, or bytes that are not exactly what encoding gives are refused. Decoders are kept
for good. No field is a data value or derived from one. Every type declares its log and its retention.

`entry_control` and its neighbours and `entry_traffic` hold the types; importing this module alone knows
none of them.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import orjson

from ringfort.ledger.errors import EntryError
from ringfort.ledger.tiles import MAX_ENTRY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONTROL = "control"
TRAFFIC = "traffic"
MAX_INTEGER = (1 << 53) - 1  # RFC 8785 numbers are IEEE 754 doubles

# What fields hold; the annotations below are read by name.
Time = str  # RFC 3339, UTC, `Z`, up to microseconds
Name = str  # not empty
Text = str
Stated = str  # words of a person: only `privacy.stated_text` says which may be recorded; may be empty
StatedName = str  # the same, not empty
Digest = str  # 64 lower-case hexadecimal digits
OptionalDigest = str  # a Digest, or empty
Country = str  # ISO 3166-1 alpha-2; ZZ unknown
OptionalCountry = str  # a Country, or empty
Count = int  # 0 to 2**53 - 1
GrantKind = str  # view, operate, resolve or bridge
ActKind = str  # erase, rotate, rewrap, canary or drop-evidence

_TIME = re.compile(
    r"20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?Z"
)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_COUNTRY = re.compile(r"[A-Z]{2}")


class Retention(StrEnum):
    """How long entries of a type are kept."""

    PERMANENT = "permanent"  # as long as the log exists
    SHARD = "shard"  # until the traffic shard's retention period ends


@dataclass(frozen=True)
class Viewer:
    """One source for the viewer's country: `registration`, `network zone`, `token`, `certificate`."""

    source: Name
    country: OptionalCountry  # empty: this source proves none


@dataclass(frozen=True)
class StatementEnd:
    """How one admitted statement ended: rows and bytes released to the client."""

    session: Name
    seq: Count
    rows: Count
    bytes: Count
    outcome: Name


@dataclass(frozen=True)
class EvidenceStream:
    """How far the evidence of one stream reaches: its groups after number `after`, up to `last`.

    `groups` is how many there are, `pieces` how many traffic entries they are evidence of, `chain` the
    chained digest of the sealed groups (see `ledger.evidence`). `after` is 0 but for streams that began
    before there were commitments.
    """

    stream: Name
    after: Count
    last: Count
    groups: Count
    pieces: Count
    chain: Digest


@dataclass(frozen=True)
class JournalPosition:
    """How far a journal had come: the number of its last group, and the chain after it."""

    lane: Name
    group: Count
    chain: Digest


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What every entry has: when (the actor's clock) and by whom it was made."""

    TYPE: ClassVar[str]
    VERSION: ClassVar[int]
    LOG: ClassVar[str]
    RETENTION: ClassVar[Retention]

    time: Time
    actor: Name


def is_time(value: object) -> bool:
    """Whether a value is a `Time`."""
    if type(value) is not str or not _TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_text(value: object) -> bool:
    return type(value) is str


def _is_name(value: object) -> bool:
    return type(value) is str and value != ""


def _is_digest(value: object) -> bool:
    return type(value) is str and _DIGEST.fullmatch(value) is not None


def _is_optional_digest(value: object) -> bool:
    return value == "" or _is_digest(value)


def _is_country(value: object) -> bool:
    return type(value) is str and _COUNTRY.fullmatch(value) is not None


def _is_optional_country(value: object) -> bool:
    return value == "" or _is_country(value)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_INTEGER


def _is_grant_kind(value: object) -> bool:
    return type(value) is str and value in {"view", "operate", "resolve", "bridge"}


def _is_act_kind(value: object) -> bool:
    return type(value) is str and value in {"erase", "rotate", "rewrap", "canary", "drop-evidence"}


def _is_names(value: object) -> bool:
    """A list of names, each once, in order, at least one."""
    return type(value) is list and bool(value) and all(map(_is_name, value)) and value == sorted(set(value))


def _is_viewers(value: object) -> bool:
    return type(value) is list and all(
        type(each) is dict
        and len(each) == 2
        and _is_name(each.get("source"))
        and _is_optional_country(each.get("country"))
        for each in value
    )


def _is_ends(value: object) -> bool:
    return type(value) is list and all(
        type(each) is list
        and len(each) == 5
        and _is_name(each[0])
        and _is_count(each[1])
        and _is_count(each[2])
        and _is_count(each[3])
        and _is_name(each[4])
        for each in value
    )


def _is_list_of(holds: Mapping[str, Callable[[object], bool]]) -> Callable[[object], bool]:
    """Whether a value lists objects with exactly these fields, in the order of the first, each once."""
    first = next(iter(holds))

    def check(value: object) -> bool:
        if type(value) is not list:
            return False
        for each in value:
            if type(each) is not dict or each.keys() != holds.keys():
                return False
            if not all(fits(each[name]) for name, fits in holds.items()):
                return False
        names = [each[first] for each in value]
        return names == sorted(set(names))

    return check


def _as_objects(value: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - a tuple of one of the classes above
    return [dataclasses.asdict(each) for each in value]


_CHECKS: dict[str, Callable[[object], bool]] = {
    "Time": is_time,
    "Name": _is_name,
    "Text": _is_text,
    "Stated": _is_text,
    "StatedName": _is_name,
    "Digest": _is_digest,
    "OptionalDigest": _is_optional_digest,
    "Country": _is_country,
    "OptionalCountry": _is_optional_country,
    "Count": _is_count,
    "GrantKind": _is_grant_kind,
    "ActKind": _is_act_kind,
    "tuple[Name, ...]": _is_names,
    "tuple[Viewer, ...]": _is_viewers,
    "tuple[StatementEnd, ...]": _is_ends,
    "tuple[EvidenceStream, ...]": _is_list_of(
        {
            "stream": _is_name,
            "after": _is_count,
            "last": _is_count,
            "groups": _is_count,
            "pieces": _is_count,
            "chain": _is_digest,
        }
    ),
    "tuple[JournalPosition, ...]": _is_list_of({"lane": _is_name, "group": _is_count, "chain": _is_digest}),
}
_TO_JSON: dict[str, Callable[[Any], object]] = {
    "tuple[Name, ...]": list,
    "tuple[Viewer, ...]": lambda value: [{"country": each.country, "source": each.source} for each in value],
    "tuple[StatementEnd, ...]": lambda value: [list(dataclasses.astuple(each)) for each in value],
    "tuple[EvidenceStream, ...]": _as_objects,
    "tuple[JournalPosition, ...]": _as_objects,
}
_FROM_JSON: dict[str, Callable[[Any], object]] = {
    "tuple[Name, ...]": tuple,
    "tuple[Viewer, ...]": lambda value: tuple(Viewer(each["source"], each["country"]) for each in value),
    "tuple[StatementEnd, ...]": lambda value: tuple(StatementEnd(*each) for each in value),
    "tuple[EvidenceStream, ...]": lambda value: tuple(EvidenceStream(**each) for each in value),
    "tuple[JournalPosition, ...]": lambda value: tuple(JournalPosition(**each) for each in value),
}


@dataclass(frozen=True)
class EntrySpec:
    """How one entry type is checked and made: its class and, for each field, the check by field name."""

    kind: type[Entry]
    checks: tuple[tuple[str, Callable[[object], bool]], ...]
    to_json: tuple[tuple[str, Callable[[Any], object]], ...]
    from_json: tuple[tuple[str, Callable[[Any], object]], ...]
    stated: tuple[str, ...] = ()
    """The fields that hold words of a person."""

    @property
    def log(self) -> str:
        """`control` or `traffic`."""
        return self.kind.LOG


_SPECS: dict[tuple[str, int], EntrySpec] = {}
_AnyEntry = TypeVar("_AnyEntry", bound=type[Entry])


def entry_type(
    log: str, retention: Retention, *, version: int = 1, name: str = ""
) -> Callable[[_AnyEntry], _AnyEntry]:
    """Register a frozen dataclass as the entry type of its own name, or as another version of `name`."""

    def register(kind: _AnyEntry) -> _AnyEntry:
        kind.TYPE, kind.VERSION, kind.LOG, kind.RETENTION = name or kind.__name__, version, log, retention
        fields = [(each.name, str(each.type)) for each in dataclasses.fields(kind)]
        _SPECS[kind.TYPE, version] = EntrySpec(
            kind,
            tuple((name, _CHECKS[annotation]) for name, annotation in fields),
            tuple((name, _TO_JSON[annotation]) for name, annotation in fields if annotation in _TO_JSON),
            tuple((name, _FROM_JSON[annotation]) for name, annotation in fields if annotation in _FROM_JSON),
            tuple(name for name, annotation in fields if annotation in {"Stated", "StatedName"}),
        )
        return kind

    return register


def entry_types() -> Mapping[tuple[str, int], EntrySpec]:
    """Every known (type, version)."""
    return _SPECS


def format_time(moment: datetime) -> Time:
    """A moment as entries write it: RFC 3339 in UTC with microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def canonical(value: object) -> bytes:
    """RFC 8785 bytes of a JSON value of objects with ASCII keys, lists, strings, integers, booleans, null.

    Raises EntryError for what such JSON cannot hold (floats are left out on purpose: no entry needs one).
    """
    _refuse_floats(value)
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError):
        raise EntryError("not a value that canonical JSON can hold") from None


def _refuse_floats(value: object) -> None:
    if isinstance(value, float) or (type(value) is int and abs(value) > MAX_INTEGER):
        raise EntryError("canonical JSON here holds integers up to 2**53 - 1 only")
    if isinstance(value, dict):
        if not all(isinstance(key, str) and key.isascii() for key in value):
            raise EntryError("canonical JSON here has ASCII keys only")
        for each in value.values():
            _refuse_floats(each)
    elif isinstance(value, list | tuple):
        for each in value:
            _refuse_floats(each)


def encode(entry: Entry) -> bytes:
    """The canonical bytes of an entry; raises EntryError if a field is not what its type says."""
    spec = _SPECS.get((getattr(entry, "TYPE", ""), getattr(entry, "VERSION", 0)))
    if spec is None or spec.kind is not type(entry):
        raise EntryError("not a registered entry type")
    # A dataclass without slots keeps its fields, and only them, in __dict__.
    values: dict[str, Any] = {**entry.__dict__, "type": entry.TYPE, "v": entry.VERSION}
    for name, convert in spec.to_json:
        values[name] = convert(values[name])
    _check_fields(spec, values)
    try:
        data = orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError):
        raise EntryError(f"`{entry.TYPE}` holds a text that is not Unicode") from None
    if len(data) > MAX_ENTRY_BYTES:
        raise EntryError(
            f"`{entry.TYPE}` of {len(data)} bytes is longer than {MAX_ENTRY_BYTES}",
            hint="put the large part in a blob and name its digest",
        )
    return data


def check(data: bytes) -> tuple[EntrySpec, dict[str, Any]]:
    """The type of an entry and its JSON fields, strictly checked; raises EntryError.

    The cheap half of `decode`.
    """
    if len(data) > MAX_ENTRY_BYTES:
        raise EntryError(f"an entry has at most {MAX_ENTRY_BYTES} bytes")
    try:
        values = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise EntryError("not JSON") from None
    if type(values) is not dict:
        raise EntryError("not a JSON object")
    kind, version = values.get("type"), values.get("v")
    if type(kind) is not str or type(version) is not int:
        raise EntryError("has no type and version")
    spec = _SPECS.get((kind, version))
    if spec is None:
        raise EntryError("has an unknown type or version")
    _check_fields(spec, values)
    if orjson.dumps(values, option=orjson.OPT_SORT_KEYS) != data:
        raise EntryError("is not canonical JSON")
    return spec, values


def _check_fields(spec: EntrySpec, values: dict[str, Any]) -> None:
    name = ""
    try:
        for name, holds in spec.checks:
            if not holds(values[name]):
                raise EntryError(f"`{spec.kind.TYPE}` has an invalid `{name}`")
    except KeyError:
        raise EntryError(f"`{spec.kind.TYPE}` has no `{name}`") from None
    if len(values) != len(spec.checks) + 2:
        raise EntryError(f"`{spec.kind.TYPE}` has an unknown field")


def build(spec: EntrySpec, values: dict[str, Any]) -> Entry:
    """The dataclass of checked fields (see `check`)."""
    fields = {name: values[name] for name, _ in spec.checks}
    for name, convert in spec.from_json:
        fields[name] = convert(fields[name])
    return spec.kind(**fields)


def decode(data: bytes) -> Entry:
    """The entry in `data`, strictly; raises EntryError. `encode` is the inverse."""
    return build(*check(data))

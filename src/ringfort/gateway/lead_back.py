"""Which values of one column stand behind given pseudonyms, under the secret of one epoch.

Three ways, in this order: the mapping table, if the epoch has one that is filled; for integers the inverse of
the kernel; else every distinct value of the column goes through the kernel once. That is also the way for the
written forms of files (`lead_back_written`): FF1 and AES-SIV. Whatever the way, a value is
given only if the column holds it now: the pseudonym of somebody who was deleted leads nowhere here, although
whoever has the secret could still compute it from a guess. Synchronous, on an administrative connection of
its own. Left out: what to make of an error, whose text may echo a value.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
from psycopg import sql

from ringfort.disclosure.views import map_name, source_expression
from ringfort.gateway.mapping_copy import BATCH, MappingCodec
from ringfort.privacy.epoch_keys import derive_key
from ringfort.privacy.methods import pseudonymise
from ringfort.privacy.pseudonym import Pseudonymiser

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterator, Sequence

    import psycopg

    from ringfort.disclosure.profile import BoundColumn, BoundTable, MapPlan
    from ringfort.privacy.epoch_keys import EpochSecret
    from ringfort.privacy.pseudonym import Domain

    Connection = psycopg.Connection[tuple[Any, ...]]

CHUNK = 8_192
INTEGERS = {"smallint": 15, "integer": 31, "bigint": 63}


@dataclass(frozen=True)
class Behind:
    """A value behind a pseudonym: as text, and as a key that a codec takes."""

    text: str
    key: tuple[Any, ...]


@dataclass(frozen=True)
class Place:
    """The column that pseudonyms are led back to, and the plan of its mapping table."""

    table: BoundTable
    column: BoundColumn
    plan: MapPlan

    @property
    def relation(self) -> sql.Identifier:
        """The base table."""
        return sql.Identifier(self.table.schema, self.table.name)

    @property
    def expression(self) -> sql.Composable:
        """The column `t.NAME` as its mapping table compares with it."""
        return source_expression(
            self.plan, self.column.data_type, sql.SQL("t.{}").format(sql.Identifier(self.column.name))
        )


def codec_of(place: Place, secret: EpochSecret, domain: Domain) -> MappingCodec:
    """The kernel of the column under the secret of an epoch."""
    return MappingCodec(place.plan.storage_type, _kernel(place, secret, domain))


def lead_back(
    connection: Connection,
    place: Place,
    secret: EpochSecret,
    domain: Domain,
    wanted: Sequence[uuid.UUID],
    *,
    mapped: bool,
) -> dict[uuid.UUID, Behind]:
    """The values behind `wanted`; what is none of the column's, in this epoch, is left out.

    `mapped` says that the mapping table of the epoch is there and filled.
    """
    codec = codec_of(place, secret, domain)
    if mapped:
        rows = _from_map(connection, place, codec, wanted)
    elif place.plan.storage_type in INTEGERS:
        rows = _inverted(connection, place, codec, secret, domain, wanted)
    else:
        rows = _scanned(connection, place, codec)
    asked = {each.bytes: each for each in wanted}
    found: dict[uuid.UUID, Behind] = {}
    while batch := list(itertools.islice(rows, BATCH)):
        # what the mapping table says is computed again: a wrong row in it must not name somebody else
        for pseudonym, (text, *key) in zip(
            codec.pseudonyms([each[1:] for each in batch]), batch, strict=True
        ):
            if pseudonym in asked:
                found[asked[pseudonym]] = Behind(text, tuple(key))
    return found


def lead_back_written(
    connection: Connection, place: Place, maker: WrittenMaker, wanted: Sequence[str]
) -> dict[str, str]:
    """The same for pseudonyms that are text (`ff1`, `siv`): the column's own writing behind each."""
    asked = set(wanted)
    found: dict[str, str] = {}
    query = sql.SQL(
        "SELECT v::text FROM (SELECT DISTINCT {} AS v FROM {} AS t WHERE {} IS NOT NULL) AS d"
    ).format(place.expression, place.relation, place.expression)
    with connection.cursor() as cursor:
        rows = cursor.stream(query, size=CHUNK)
        while batch := [row[0] for row in itertools.islice(rows, BATCH)]:
            made = zip(maker.make(batch), batch, strict=True)
            found.update({pseudonym: text for pseudonym, text in made if pseudonym in asked})
    return found


@dataclass(frozen=True)
class WrittenMaker:
    """Makes pseudonyms that are text, of one column under the secret of one epoch."""

    method: str
    kind: str
    identity_space: str
    secret: EpochSecret
    domain: Domain

    def make(self, texts: Sequence[str]) -> list[str]:
        """The pseudonym of each text; None where the method has none for it."""
        made = pseudonymise(
            pa.array(texts, pa.large_string()),
            method=self.method,
            kind=self.kind,
            secret=self.secret,
            domain=self.domain,
            identity_space=self.identity_space,
        )
        return cast("list[str]", made.to_pylist())


def _kernel(place: Place, secret: EpochSecret, domain: Domain) -> Pseudonymiser:
    kind = place.plan.pseudonym_type
    return Pseudonymiser(derive_key(secret, domain, place.plan.identity_space, kind), kind)


def _select(codec: MappingCodec) -> sql.Composable:
    """Text, then what the codec takes, of a value `v`."""
    return sql.SQL("v::text, {}").format(sql.SQL(codec.select))


def _from_map(
    connection: Connection, place: Place, codec: MappingCodec, wanted: Sequence[uuid.UUID]
) -> Iterator[tuple[Any, ...]]:
    query = sql.SQL(
        "SELECT {} FROM (SELECT m.raw AS v FROM {} AS m WHERE m.pseudonym = ANY (%s) "
        "AND EXISTS (SELECT FROM {} AS t WHERE {} = m.raw)) AS d"
    ).format(_select(codec), map_name(place.plan), place.relation, place.expression)
    yield from connection.cursor(binary=True).execute(query, (list(wanted),))


def _inverted(  # noqa: PLR0917 - the parts of one question
    connection: Connection,
    place: Place,
    codec: MappingCodec,
    secret: EpochSecret,
    domain: Domain,
    wanted: Sequence[uuid.UUID],
) -> Iterator[tuple[Any, ...]]:
    tags = pa.array([each.bytes for each in wanted], pa.binary(16))
    limit = 1 << INTEGERS[place.plan.storage_type]
    numbers = [
        each
        for each in _kernel(place, secret, domain).resolve_numbers(tags).to_pylist()
        if each is not None and -limit <= each < limit
    ]
    query = sql.SQL(
        "SELECT {} FROM (SELECT DISTINCT {} AS v FROM {} AS t WHERE {} = ANY (%s::{}[])) AS d"
    ).format(
        _select(codec), place.expression, place.relation, place.expression, sql.SQL(place.plan.storage_type)
    )
    yield from connection.cursor(binary=True).execute(query, (numbers,))


def _scanned(connection: Connection, place: Place, codec: MappingCodec) -> Iterator[tuple[Any, ...]]:
    query = sql.SQL("SELECT {} FROM (SELECT DISTINCT {} AS v FROM {} AS t WHERE {} IS NOT NULL) AS d").format(
        _select(codec), place.expression, place.relation, place.expression
    )
    with connection.cursor() as cursor:
        yield from cursor.stream(query, binary=True, size=CHUNK)


__all__ = ["Behind", "Place", "WrittenMaker", "codec_of", "lead_back", "lead_back_written"]

"""A model of PostgreSQL's side of the protocol: what it answers to each message, and nothing about SQL.

As PostgreSQL does, it keeps what it says until a Sync, a Flush, the end of a Query, an error, or 8 KiB.

A text is its own answer: the rows of a statement hold its text. `!` is no SQL; a text with `fail` in it fails
when it is run; `big` gives a row of many bytes, `many` gives many rows; BEGIN and COMMIT are what they are.
"""

from ringfort.pgwire import backend as be
from ringfort.pgwire import frontend as fe
from ringfort.pgwire.framing import FrameReader

BIG = 90_000
MANY = 40
KEPT = 8_192


def wire(*items):
    return b"".join(map(be.serialise_backend, items))


class SimulatedServer:
    """Bytes in (`feed`), answers out. `refuses(sql)` says which texts fail before all else."""

    def __init__(self, refuses=lambda sql: False):
        self._refuses = refuses
        self._reader = FrameReader(10_000_000, fe.KINDS)
        self._statements = {}
        self._portals = {}
        self._status = b"I"
        self._skipping = False
        self.ran = []
        self.out = bytearray()  # what has left
        self._buffer = bytearray()

    @property
    def kept(self):
        """What it says when it is asked to."""
        return bytes(self._buffer)

    def feed(self, data):
        self._reader.feed(data)
        while kind := self._reader.next():
            item = fe.parse_frontend(kind, self._reader.data[self._reader.start : self._reader.end])
            if not self._skipping or isinstance(item, fe.Sync):
                getattr(self, f"_{type(item).__name__.lower()}")(item)

    def _say(self, *items):
        self._buffer += wire(*items)
        if len(self._buffer) >= KEPT:
            self._flush(None)

    def _fail(self, *, skip=True):
        self._say(be.ErrorResponse({"V": b"ERROR", "C": b"42601", "M": b"wrong"}))
        self._flush(None)
        self._skipping = skip
        if self._status == b"T":
            self._status = b"E"

    def _ready(self):
        if self._status == b"I":
            self._portals.clear()
        self._say(be.ReadyForQuery(self._status))
        self._flush(None)

    def _wrong(self, sql):
        return sql == b"!" or self._refuses(sql)

    def _run(self, sql, most=0, done=0):
        """Say the rows of a statement after `done` of them; how many there are now, or -1 if it failed."""
        if (self._status == b"E" and sql != b"COMMIT") or b"fail" in sql:
            return -1
        self.ran.append(sql)
        if sql == b"BEGIN" or sql == b"COMMIT":  # noqa: PLR1714
            self._status = b"T" if sql == b"BEGIN" else b"I"
            self._say(be.CommandComplete(sql))
            return 0
        row = be.DataRow((sql + b"." * BIG if b"big" in sql else sql,))
        total = MANY if b"many" in sql else 1
        until = min(total, done + most) if most else total
        self._say(*[row] * (until - done))
        self._say(be.Simple(b"s") if most and until - done == most else be.CommandComplete(b"SELECT"))
        return until

    def _query(self, item):
        self._portals.pop(b"", None)
        self._statements.pop(b"", None)
        if self._wrong(item.sql):
            self._fail(skip=False)
        else:
            if item.sql not in {b"BEGIN", b"COMMIT"} and b"fail" not in item.sql and self._status != b"E":
                self._say(be.RowDescription((be.Column(b"a"),)))
            if self._run(item.sql) < 0:
                self._fail(skip=False)
        self._ready()

    def _parse(self, item):
        if not item.name:
            self._statements.pop(b"", None)
        taken = item.name and item.name in self._statements
        if self._wrong(item.sql) or taken or (self._status == b"E" and item.sql != b"COMMIT"):
            self._fail()
        else:
            self._statements[item.name] = item.sql
            self._say(be.Simple(b"1"))

    def _bind(self, item):
        sql = self._statements.get(item.statement)
        taken = item.portal and item.portal in self._portals
        if sql is None or taken or (self._status == b"E" and sql != b"COMMIT"):
            self._fail()
        else:
            self._portals[item.portal] = [sql, 0]
            self._say(be.Simple(b"2"))

    def _describe(self, item):
        known = self._statements if item.kind == b"S" else self._portals
        if item.name not in known:
            self._fail()
            return
        if item.kind == b"S":
            self._say(be.ParameterDescription(()))
        self._say(be.Simple(b"n"))

    def _execute(self, item):
        portal = self._portals.get(item.portal)
        if portal is None:
            self._fail()
            return
        portal[1] = self._run(portal[0], max(item.rows, 0), portal[1])
        if portal[1] < 0:
            self._fail()

    def _close(self, item):
        (self._statements if item.kind == b"S" else self._portals).pop(item.name, None)
        self._say(be.Simple(b"3"))

    def _sync(self, _):
        self._skipping = False
        self._ready()

    def _flush(self, _):
        self.out += self._buffer
        self._buffer.clear()

    def _functioncall(self, _):
        self._query(fe.Query(b"!"))  # what the gate sends in its place

    def _copydata(self, _):
        pass

    _copydone = _copyfail = _copydata


def kinds(stream):
    """The types of the messages in what a server sent."""
    found, at = bytearray(), 0
    while at + 5 <= len(stream):
        found.append(stream[at])
        at += 1 + int.from_bytes(stream[at + 1 : at + 5], "big")
    assert at == len(stream)
    return bytes(found)


__all__ = ["BIG", "MANY", "SimulatedServer", "kinds", "wire"]

"""`StatementAdmitted` entries at the rate of statements: canonical parts rendered beforehand, then joined.

Equal, byte for byte, to `encode(StatementAdmitted(...))` (a property test says so). RFC 8785 orders keys:
actor, control, evidence, kind, seq, session, shape, time, type, v. Fields are checked once, when parts are
made.
"""

from __future__ import annotations

import re

import orjson

from ringfort.ledger.entry import is_time
from ringfort.ledger.errors import EntryError
from ringfort.ledger.tiles import MAX_ENTRY_BYTES


def _text(value: str) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        raise EntryError("a text that is not Unicode") from None


class StatementForm:
    """What admitted statements of one kind and shape share; make it once for each cached verdict."""

    __slots__ = ("kind", "shape")

    def __init__(self, kind: str, shape: str) -> None:
        if not kind:
            raise EntryError("`StatementAdmitted` has an invalid `kind`")
        self.kind = b'","kind":' + _text(kind) + b',"seq":'
        self.shape = b',"shape":' + _text(shape) + b',"time":"'
        if len(self.shape) > MAX_ENTRY_BYTES - 2_048:
            raise EntryError("a statement's shape is too long to be recorded")


class AdmittedTemplate:
    """What admitted statements of one session share."""

    __slots__ = ("_actor", "_control", "_head", "_session")

    def __init__(self, actor: str, session: str) -> None:
        if not actor or not session or len(actor) + len(session) > 256:
            raise EntryError("`StatementAdmitted` has an invalid `actor` or `session`")
        self._actor = b'{"actor":' + _text(actor) + b',"control":'
        self._session = b',"session":' + _text(session)
        self._control = -1
        self._head = b""

    def render(self, seq: int, control: int, form: StatementForm, evidence: str, time: str) -> bytes:
        """The entry's bytes.

        `evidence` is 64 hexadecimal digits, `time` as `format_time` gives it (not checked).
        """
        if control != self._control:
            self._control = control
            self._head = b'%b%d,"evidence":"' % (self._actor, control)
        return b'%b%b%b%d%b%b%bZ","type":"StatementAdmitted","v":1}' % (
            self._head,
            evidence.encode(),
            form.kind,
            seq,
            self._session,
            form.shape,
            time[:-1].encode(),
        )


_PLAIN = rb"[ !#-\[\]-~]"  # what a canonical JSON string holds as it is, of ASCII
_ADMITTED = re.compile(
    rb'\{"actor":"' + _PLAIN + rb'+","control":(0|[1-9][0-9]{0,14}),"evidence":"([0-9a-f]{64})","kind":"'
    + _PLAIN + rb'+","seq":(0|[1-9][0-9]{0,14}),"session":"(' + _PLAIN + rb'+)","shape":"' + _PLAIN
    + rb'*(?:\\["\\]' + _PLAIN + rb'*)*","time":"([0-9T:-]{19})(?:\.[0-9]{1,6})?Z"'
    + rb',"type":"StatementAdmitted","v":1\}'
)  # fmt: skip


class AdmittedReader:
    """Checks `StatementAdmitted` entries as strictly as `entry.check` does, at a fifth of the cost.

    Only for canonical entries in ASCII; what it does not know it leaves to `entry.check`. `statement` is the
    session and number of the last entry that it knew.
    """

    __slots__ = ("_second", "statement")

    def __init__(self) -> None:
        self._second = b""
        self.statement = ("", 0)

    def read(self, data: bytes) -> tuple[str, int] | None:
        """The entry's evidence digest and control size; None if it is not certain that it is valid."""
        found = _ADMITTED.fullmatch(data)
        if found is None or len(data) > MAX_ENTRY_BYTES:
            return None
        control, evidence, seq, session, second = found.groups()
        if second != self._second:
            if not is_time(second.decode() + "Z"):
                return None
            self._second = second
        self.statement = (session.decode(), int(seq))
        return evidence.decode(), int(control)

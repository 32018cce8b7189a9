"""`StatementAdmitted` entries at the rate of statements: canonical parts rendered beforehand, then joined.

Equal, byte for byte, to `encode(StatementAdmitted(...))` (a property test says so). RFC 8785 orders keys:
actor, control, evidence, kind, seq, session, shape, time, type, v. Fields are checked once, when parts are
made.
"""

from __future__ import annotations

import orjson

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

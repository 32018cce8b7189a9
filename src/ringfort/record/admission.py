"""Which control entries the writer takes from others: of the control log, not its own, and screened.

Whoever makes an entry puts words of people through `privacy.stated_text`; here it is demanded, so that no
command and no process can leave it out. Entries that are in the log already are not asked again: the rule may
get stricter, and old entries stay readable for good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfort.ledger import entry_control as control
from ringfort.ledger.entry import CONTROL, build, check
from ringfort.privacy.stated_text import is_stated
from ringfort.record.errors import RefusedError

if TYPE_CHECKING:
    from ringfort.ledger.entry import Entry


def read_control_entry(data: bytes) -> Entry:
    """The entry in `data`, if it may be appended by a client; raises EntryError or RefusedError."""
    spec, values = check(data)
    if spec.log != CONTROL:
        raise RefusedError(f"`{spec.kind.TYPE}` does not belong in the control log")
    if spec.kind in control.WRITER_ONLY:
        raise RefusedError(f"`{spec.kind.TYPE}` is appended by the writer only")
    if spec.kind in control.SUPERSEDED:
        raise RefusedError(f"version {spec.kind.VERSION} of `{spec.kind.TYPE}` is not written any more")
    for name in spec.stated:
        if not is_stated(values[name]):
            raise RefusedError(
                f"`{name}` of `{spec.kind.TYPE}` holds what may not be put on record",
                hint="name no person, address or long number, in one line: refer to a ticket",
            )
    return build(spec, values)


__all__ = ["read_control_entry"]

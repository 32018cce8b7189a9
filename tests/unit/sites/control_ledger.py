"""A control log in memory: the fold that the writer uses, and nothing beneath it."""

from ringfort.ledger import entry_control as control
from ringfort.ledger import entry_control_acts as acts
from ringfort.ledger import entry_control_grants as granting
from ringfort.ledger.folds import ControlState
from ringfort.sites.domains import Leave

INPUT = b"{}"
BASIC = {"time": "2026-11-20T10:00:00.000000Z", "actor": "test"}


def leave(ledger, kind, recipient="A", purpose="x", epoch=0):
    """Leave for an act of that kind: asked for by one, approved by another."""
    grant = f"g-{len(ledger.entries)}"
    if "olga" not in ledger.state.principals:
        facts = {"country": "IE", "employer": "", "role": "operator"}
        ledger.append(
            [control.PrincipalRegistered(**BASIC, name=each, **facts) for each in ("olga", "ronan")]
        )
    about = (recipient, purpose) if kind in {"erase", "rotate"} else ("", "")
    ledger.append(
        [
            acts.ActRequested(
                **BASIC, grant=grant, principal="olga", kind=kind, recipient=about[0], purpose=about[1],
                epoch=epoch, ticket="T-1", seconds=600, reason="", approvals=1, open_seconds=600,
            ),
            granting.GrantApproved(**BASIC, grant=grant, approver="ronan", input="0" * 64),
        ]
    )  # fmt: skip
    return Leave(
        "olga", grant, INPUT, ("principal:olga", f"grant:{grant}"), ledger.state.size, "root", "yearly"
    )


class MemoryLedger:
    """Implements `sites.domains.ControlLedger`; `before_append` lets another act come first."""

    def __init__(self, state=None):
        self.state = state or ControlState()
        self.entries = []
        self.before_append = None
        if not self.state.size:
            self.append([control.LogOpened(**BASIC, origin="o", vkey="v")])

    def append(self, entries, *, condition=None, blobs=()):
        hook, self.before_append = self.before_append, None
        if hook is not None:
            hook()
        if condition is not None:
            self.state.require(condition)
        trial = self.state.copy()
        indices = [trial.apply(each) for each in entries]
        self.state = trial
        self.entries += entries
        return indices

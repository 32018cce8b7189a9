"""A control log in memory: the fold that the writer uses, and nothing beneath it."""

from ringfort.ledger import entry_control as control
from ringfort.ledger.folds import ControlState

BASIC = {"time": "2026-11-20T10:00:00.000000Z", "actor": "test"}


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

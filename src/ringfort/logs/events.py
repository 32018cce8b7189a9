"""Every event that a log line can name: how grave it is, and what it means to an operator.

Add an entry, one line each, where its subject stands; `docs/reference/events.md` is made from this table, and
a test holds that the code says nothing else. Names are lower case with hyphens, and stay: people match them.
"""

from __future__ import annotations

from typing import NamedTuple


class Event(NamedTuple):
    """One event; `level` is what the code says it with."""

    name: str
    level: str
    meaning: str


# fmt: off
EVENTS = (
    # -- processes
    Event("process-started", "info", "a process of the gateway serves"),
    Event("process-stopped", "info", "a process ended as it was asked to"),
    Event("process-failed", "critical", "a process cannot go on, for a reason that its message says"),
    Event("process-ended", "error", "a process ended by itself; it is started again"),
    Event("worker-lost-draining", "error", "a worker that was finishing its sessions ended by itself"),
    Event("process-replaced", "info", "a process that ended was started again"),
    Event("start-failed", "error", "a start did not succeed; it is tried again"),
    Event("starting", "info", "the supervisor starts a part of the deployment"),
    Event("started", "info", "the whole deployment is up"),
    Event("stopping", "info", "the deployment stops"),
    Event("activated", "info", "what the folder says (policy, catalogue, zones) came into force at the start"),
    Event("policy-warning", "warning", "the policy in force admits more than one would write today, as its message says"),
    Event("workers-replaced", "info", "`ringfort reload` replaced the workers"),
    Event("reload-refused", "warning", "`ringfort reload` changed nothing, for a reason that the message says"),
    Event("fault", "critical", "a fault of ours: class and place of an exception, never its text"),
    Event("request-failed", "error", "a request between our processes met a fault of ours"),
    Event("library", "warning", "a library said something; its words are left out, since they can hold values"),
    Event("slow", "warning", "something on the path of sessions takes longer than a second"),
    Event("slow-over", "info", "what took longer than a second is over"),
    Event("log-lines-lost", "warning", "so many lines could not be kept: the queue was full"),
    Event("log-lines-omitted", "warning", "so many more lines of one event came within ten seconds"),
    Event("log-file-failed", "error", "the log file cannot be written; standard error still gets the lines"),
    # -- sites and databases
    Event("site-ended", "error", "an embedded server ended by itself; it is started again"),
    Event("site-started", "info", "an embedded server serves"),
    Event("site-stopped", "info", "an embedded server was stopped"),
    Event("database-served", "info", "the database is open to sessions"),
    Event("database-not-served", "error", "the database is closed to sessions: the message says why, clients hear only an incident's reference"),
    Event("fingerprints-anew", "warning", "a run that goes on makes its fingerprints anew: those of before are of another version"),
    Event("transfer-roles-swept", "info", "roles that killed transfers left in a database are dropped"),
    Event("transfer-roles-left", "warning", "roles that killed transfers left cannot be dropped; it is tried again"),
    Event("fills-stopped", "warning", "the mapping tables of a database are not followed at present"),
    Event("fill-failed", "warning", "a column gets no new pseudonyms, for a reason that the message says; it is tried again"),
    Event("ahead", "info", "mapping tables of the domains of the last 30 days are prepared"),
    Event("ahead-bounded", "warning", "more domains than are prepared ahead; the rest is made when it is asked for"),
    Event("ahead-failed", "warning", "nothing is prepared ahead for now; it is tried again"),
    Event("filled", "info", "every key of a column has its pseudonym"),
    Event("prune-failed", "warning", "keys that were erased stay in a mapping table for now"),
    Event("view-left-out", "warning", "a profile was made without the view of a table; it is tried again"),
    Event("profile-made", "info", "a new profile was made, which took longer than a second"),
    Event("profile-by-view", "info", "a table is in the way of a new profile: its views are made one by one"),
    Event("domain-cleaning-failed", "warning", "what an erased or rotated domain left is not dropped yet"),
    # -- sessions
    Event("session-opened", "info", "a session is open; the record says whose, under its id"),
    Event("session-ended", "info", "a session is over, for the reason that the message says"),
    Event("session-refused", "warning", "somebody who had authenticated, or whom a stopped gateway cannot serve, got no session"),
    Event("ground-changed", "info", "policy, catalogue, zones or a registration changed, and so many sessions of one worker ended"),
    Event("record-waits", "warning", "statements wait longer than a second for the ledger: nothing of theirs is released meanwhile"),
    Event("record-goes-on", "info", "no statement waits long for the ledger any more"),
    Event("session-not-opened", "error", "a session was not opened for a fault of the deployment; the client heard only the incident's reference"),
    Event("connection-not-taken", "error", "the operating system gave no connection; it is tried again"),
    Event("strangers", "warning", "connections that had not authenticated were turned away: too many, from one address or in all"),
    Event("clock-jumped", "warning", "the machine's clock was set by five seconds or more"),
    # -- the parser of statements
    Event("text-refused-unread", "warning", "a statement was refused without being read: its turn did not come in time"),
    Event("reader-lost", "warning", "a reader of texts crashed or was too slow; it is replaced, the statement is refused"),
    Event("reader-not-started", "warning", "a reader of texts cannot be started; it is tried again"),
    Event("confinement", "warning", "the reader of texts is not confined by all that it should be: the kernel lacks it"),
    # -- credentials
    Event("login-refused", "warning", "somebody did not prove who they are: the first of a kind at once, then how many more in ten seconds"),
    Event("failures", "warning", "logins fail so often that they are counted on record, not each put there"),
    Event("certificate-renewed", "info", "the gateway presents a new certificate"),
    Event("certificate-kept", "warning", "a new certificate cannot be used; the one in use stays"),
    Event("issuer-keys-failed", "warning", "the token issuer's keys cannot be fetched; those that are known stay"),
    Event("operate-reach", "warning", "an operate session was refused: its grant covers less than its tables reach"),
    # -- the ledger
    Event("ledger-recovered", "info", "the ledger writer started from what its folder holds"),
    Event("journal-torn", "warning", "the journal's last group was cut off in a crash; nobody had been told that it was durable"),
    Event("ledger-slow", "warning", "the ledger's disk took longer than a second, and sessions waited for it"),
    Event("publication-failed", "error", "entries cannot be published; the writer ends and is started again"),
    Event("ledger-lost", "critical", "the connection to the ledger writer is lost; the process ends"),
    Event("control-refused", "critical", "a control entry does not follow from the state; the process ends"),
    Event("ledger-client-cut-off", "warning", "a client of the ledger writer broke the protocol and was cut off"),
    Event("ledger-client-slow", "warning", "a client of the ledger writer did not read its answers and was cut off"),
    Event("traffic-refused", "error", "the ledger writer refused a traffic entry"),
    Event("evidence-damaged", "warning", "a segment of evidence was changed: it stays as it is, and `ledger verify` names it"),
    Event("evidence-missing", "warning", "evidence that a control entry commits is not there: `ledger verify` says which"),
    Event("http-full", "warning", "the ledger over HTTP refuses connections: too many are open"),
    Event("ledger-disk-full", "error", "the ledger's disk is full: nothing is released until there is room"),
    Event("ledger-disk-room", "info", "there is room on the ledger's disk again"),
)
# fmt: on

LEVEL_OF = {each.name: each.level for each in EVENTS}

__all__ = ["EVENTS", "LEVEL_OF", "Event"]

"""Simulators of what a relay stands between: two transports, the ledger channel, the parser, a PostgreSQL."""

from ringfort.disclosure.statements import Surface, Verdict
from ringfort.gateway.recording import EndsBatch
from ringfort.gateway.relay import Relay
from ringfort.gateway.verdicts import Verdicts
from ringfort.ledger.entry import decode
from ringfort.pgwire import backend as be
from ringfort.pgwire.exchange import Exchange

READY = be.ReadyForQuery(b"I")


def wire(*items):
    return b"".join(map(be.serialise_backend, items))


class SimulatedTransport:
    def __init__(self):
        self.written = []
        self.reading = True
        self.closed = ""

    def write(self, data):
        assert not self.closed
        self.written.append(bytes(data))

    def is_closing(self):
        return bool(self.closed)

    def pause_reading(self):
        assert self.reading
        self.reading = False

    def resume_reading(self):
        assert not self.reading
        self.reading = True

    def close(self):
        self.closed = self.closed or "closed"

    def abort(self):
        self.closed = "aborted"

    def take(self):
        data = b"".join(self.written)
        self.written.clear()
        return data


class SimulatedLedger:
    """Keeps what it is given; `settle` makes the oldest admissions durable, or not."""

    control_size = 17
    crowded = False

    def __init__(self):
        self.entries = []
        self.evidence = []
        self.notes = []
        self.waiting = []

    def admit(self, entry, evidence, done):
        self.entries.append(decode(entry))
        self.evidence.append(evidence)
        self.waiting.append(done)

    def note(self, entry):
        self.notes.append(decode(entry))

    def settle(self, count=None, *, durable=True):
        count = len(self.waiting) if count is None else count
        done, self.waiting = self.waiting[:count], self.waiting[count:]
        for each in done:
            each(durable)


class SimulatedLoop:
    """Timers that fire when told to."""

    def __init__(self):
        self.timers = []

    def call_later(self, delay, call):
        del delay
        self.timers.append(call)
        return self

    def cancel(self):
        self.timers.clear()


class SimulatedParser:
    """Verdicts by first word; raises what it was given."""

    def __init__(self):
        self.asked = []
        self.error = None

    async def request(self, op, **fields):
        assert op == "verdict"
        self.asked.append(fields["sql"])
        if self.error is not None:
            raise self.error
        return verdict(fields["sql"]).to_json()


def verdict(sql):
    word = sql.split()[0].upper() if sql.split() else ""
    kinds = {"SELECT": "read", "": "empty", "BEGIN": "transaction", "PREPARE": "prepare", "DECLARE": "cursor"}
    if word in kinds:
        return Verdict(allowed=True, kind=kinds[word], shape=f'{{"kind":"{kinds[word]}"}}')
    return Verdict(allowed=False, kind="utility", sqlstate="42501", reason="not on the list", hint="ask")


class Bench:
    """A relay between simulators."""

    def __init__(self, *, known=True, row_limit=0, byte_limit=0, message_bytes=1_000_000):
        self.client, self.site = SimulatedTransport(), SimulatedTransport()
        self.ledger, self.loop, self.parser = SimulatedLedger(), SimulatedLoop(), SimulatedParser()
        verdicts = Verdicts(self.parser, 262_144).for_surface(Surface(frozenset({"t"})))
        if known:
            verdicts.lookup = _known
        self.ended = []
        self.relay = Relay(
            session="s1",
            actor="worker-0",
            ledger=self.ledger,
            ends=EndsBatch(self.ledger, "worker-0", self.loop),
            verdicts=verdicts,
            exchange=Exchange(row_limit, byte_limit),
            client=self.client,
            site=self.site,
            message_bytes=message_bytes,
            on_end=lambda outcome, busy: self.ended.append((outcome, busy)),
        )

    def answer(self, *items):
        self.relay.from_site(wire(*items))

    def ends(self):
        for timer in self.loop.timers[:]:
            timer()
        return [(each.seq, each.rows, each.outcome) for note in self.ledger.notes for each in note.ended]


def _known(sql):
    from ringfort.gateway.verdicts import Known

    return Known(verdict(sql.decode()))

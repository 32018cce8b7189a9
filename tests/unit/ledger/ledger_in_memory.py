"""A published ledger held in a dict, made with the pure parts only: what a folder would hold."""

from __future__ import annotations

from ringfort.ledger import entry_control as control
from ringfort.ledger import entry_traffic as traffic
from ringfort.ledger.checkpoint import Checkpoint
from ringfort.ledger.entry import StatementEnd, Viewer, encode
from ringfort.ledger.note import Ed25519Signer
from ringfort.ledger.sequencer import Sequencer

ORIGIN = "ledger.example/test"
SHARD = "2026-11"
TIME = "2026-11-21T12:00:00.000000Z"
DIGEST = "ab" * 32
BASIC = {"time": TIME, "actor": "tester"}
SEED = bytes(range(32))


def signer(log: str) -> Ed25519Signer:
    return Ed25519Signer(f"{ORIGIN}/{log}", SEED)


def session_opened(session: str, principal: str = "maeve") -> control.SessionOpened:
    return control.SessionOpened(
        **BASIC,
        session=session,
        principal=principal,
        purpose="customer-support",
        ticket="T-1",
        site="dublin-1",
        database="shop",
        viewer=(Viewer("registration", "IE"), Viewer("network zone", "")),
        storage_country="IE",
        processing_country="IE",
        viewing_country="ZZ",
        input=DIGEST,
        map=DIGEST,
        profile=DIGEST,
        policy=DIGEST,
        catalogue=DIGEST,
        zones="",
        evaluator="ringfort-policy/1",
    )


def admitted(session: str, seq: int, size: int) -> traffic.StatementAdmitted:
    return traffic.StatementAdmitted(
        **BASIC, session=session, seq=seq, control=size, kind="read", shape='{"select":[]}', evidence=DIGEST
    )


def ended(*ends: tuple[str, int]) -> traffic.StatementsEnded:
    return traffic.StatementsEnded(
        **BASIC, ended=tuple(StatementEnd(session, seq, 1, 10, "complete") for session, seq in ends)
    )


def setup_entries() -> list:
    return [
        control.LogOpened(**BASIC, origin=signer("control").key.name, vkey=signer("control").key.text),
        control.ShardOpened(
            **BASIC,
            shard=SHARD,
            origin=signer(f"traffic/{SHARD}").key.name,
            vkey=signer(f"traffic/{SHARD}").key.text,
        ),
        control.PolicyActivated(**BASIC, bundle=DIGEST, evaluator="ringfort-policy/1"),
        control.CatalogueActivated(**BASIC, catalogue=DIGEST),
        control.PrincipalRegistered(**BASIC, name="maeve", country="IE", employer="", role="support"),
    ]


class MemoryLedger:
    """Two logs that grow; `store` is what is published, by path."""

    def __init__(self, *control_entries) -> None:
        self.store: dict[str, bytes] = {}
        self.control = Sequencer()
        self.traffic = Sequencer()
        self.add_control(*control_entries or (*setup_entries(), session_opened("s1")))

    def read(self, path: str) -> bytes | None:
        return self.store.get(path)

    def names(self, folder: str) -> list[str]:
        prefix = folder + "/"
        return sorted(
            path.removeprefix(prefix)
            for path in self.store
            if path.startswith(prefix) and "/" not in path.removeprefix(prefix)
        )

    def add_control(self, *entries) -> None:
        for each in entries:
            self.control.append(each if isinstance(each, bytes) else encode(each))

    def add_traffic(self, *entries) -> None:
        for each in entries:
            self.traffic.append(each if isinstance(each, bytes) else encode(each))

    def reference(self) -> None:
        self.add_traffic(
            traffic.ControlReferenced(**BASIC, size=self.control.size, root=self.control.root().hex())
        )

    def anchor(self) -> None:
        origin = signer(f"traffic/{SHARD}").key.name
        root = self.traffic.root().hex()
        self.add_control(control.TrafficAnchored(**BASIC, origin=origin, size=self.traffic.size, root=root))

    def publish(self) -> None:
        for log, made in (("control", self.control), (f"traffic/{SHARD}", self.traffic)):
            checkpoint = Checkpoint(signer(log).key.name, made.size, made.root())
            self.store.update({f"{log}/{path}": data for path, data in made.drain().items()})
            self.store[f"{log}/checkpoint"] = checkpoint.sign([signer(log)])


def small_ledger(statements: int = 6) -> MemoryLedger:
    """A session, statements, ends; published twice, so that left-over partial tiles are there."""
    ledger = MemoryLedger()
    ledger.publish()
    size = ledger.control.size
    ledger.reference()
    ledger.add_traffic(*(admitted("s1", seq, size) for seq in range(statements)))
    ledger.publish()
    ledger.anchor()
    ledger.add_traffic(ended(*(("s1", seq) for seq in range(min(statements, 4)))))
    ledger.add_traffic(
        traffic.SessionEnded(**BASIC, session="s1", outcome="closed", statements=statements, rows=1, bytes=10)
    )
    ledger.publish()
    return ledger

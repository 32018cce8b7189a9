"""Domains' secrets: one for each epoch, checked against the record, and gone when they are erased."""

import dataclasses
import json
import uuid
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest
from tests.unit.sites.control_ledger import BASIC, MemoryLedger, leave

from ringfort.config import KeysConfig
from ringfort.errors import CheckFailedError, UsageError
from ringfort.ledger import entry_control as control
from ringfort.ledger.entry import decode
from ringfort.ledger.errors import ConditionFailedError
from ringfort.privacy.epoch_keys import NEWEST, derive_key, key_id
from ringfort.privacy.methods import pseudonymise
from ringfort.privacy.pseudonym import Domain
from ringfort.sites.custody import ROOT, Custody, CustodySettings
from ringfort.sites.domains import DomainStore, ErasedDomainError

EPOCHS = Path(__file__).parents[2] / "vectors" / "privacy" / "epochs_of_derivation_1.json"
NOW = datetime.fromisoformat(BASIC["time"])


@pytest.fixture
def custody(tmp_path):
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    made = Custody(CustodySettings(secrets, KeysConfig(kek_file=str(tmp_path / "kek.key"))))
    made.make_current()
    made.create(ROOT, bytes(range(32)))
    return made


@pytest.fixture
def store(custody):
    return DomainStore(custody, now=lambda: NOW)


def test_the_first_use_opens_an_epoch_and_later_ones_find_it(store):
    ledger = MemoryLedger()
    with pytest.raises(UsageError, match="no epoch in force"):
        store.current("ACME Inc", "analytics", ledger.state)
    domain = store.ensure(ledger, "ACME Inc", "analytics")
    assert domain == Domain("ACME Inc", "analytics", 1) == store.ensure(ledger, "ACME Inc", "analytics")
    assert len(ledger.entries) == 2
    secret = store.secret(domain, ledger.state)
    assert (len(secret.value), secret.derivation) == (32, NEWEST)
    assert ledger.state.domains == {domain.id: key_id(secret, domain)}
    assert DomainStore(Custody(store.custody.settings)).secret(domain, ledger.state) == secret
    assert len(derive_key(secret, domain, "space", "number")) == 16


def test_domains_and_epochs_have_secrets_of_their_own(store):
    ledger = MemoryLedger()
    domains = [store.ensure(ledger, *each) for each in (("A", "x"), ("A", "y"), ("B", "x"))]
    domains.append(store.rotate(ledger, "A", "x", leave(ledger, "rotate")))
    assert domains[-1].epoch == 2
    assert len({store.secret(each, ledger.state) for each in domains}) == 4
    assert store.current("A", "x", ledger.state) == domains[-1]


def test_a_secret_needs_both_the_root_and_its_random_value(store, custody, tmp_path):
    ledger = MemoryLedger()
    domain = store.ensure(ledger, "A", "x")
    custody.destroy(ROOT)
    custody.create(ROOT, bytes(32))
    other = DomainStore(custody)
    assert other.coming_secret(domain) != store.coming_secret(domain)
    with pytest.raises(CheckFailedError, match="root secret is not the one"):
        other.secret(domain, ledger.state)


def test_erasing_destroys_one_domain_and_leaves_the_others(store, custody):
    ledger = MemoryLedger()
    gone, kept = store.ensure(ledger, "A", "x"), store.ensure(ledger, "B", "x")
    before = store.secret(gone, ledger.state)
    path = custody.settings.secrets / "domains" / f"{gone.id}.key"
    assert path.exists()
    store.rotate(ledger, "A", "x", leave(ledger, "rotate"))
    assert [each.number for each in store.erase(ledger, "A", "x", leave(ledger, "erase"))] == [1, 2]
    assert not path.exists()
    for each in (store, DomainStore(custody)):
        with pytest.raises(ErasedDomainError):
            each.coming_secret(gone)
        with pytest.raises(ErasedDomainError, match="epoch 1 of this pseudonymisation domain is erased"):
            each.secret(gone, ledger.state)
        assert each.secret(kept, ledger.state)
    with pytest.raises(UsageError, match="erased already"):
        store.erase(ledger, "A", "x", leave(ledger, "erase"))
    again = store.ensure(ledger, "A", "x")
    assert again.epoch == 3
    assert store.secret(again, ledger.state) != before


def test_an_erasure_that_was_cut_off_is_finished_and_gives_nothing_meanwhile(store, custody):
    ledger = MemoryLedger()
    domain = store.ensure(ledger, "A", "x")
    known = ledger.state.pseudonymisation["A", "x"]
    ledger.append(store.erasures(known, known.epochs, leave(ledger, "erase")))
    fresh = DomainStore(custody)
    with pytest.raises(ErasedDomainError):
        fresh.secret(domain, ledger.state)
    assert fresh.settle(ledger.state) == [domain.id]
    assert fresh.settle(ledger.state) == []
    with pytest.raises(ErasedDomainError):
        fresh.coming_secret(domain)


def test_only_one_of_two_rotations_wins(store, custody):
    ledger = MemoryLedger()
    store.ensure(ledger, "A", "x")
    first, second = leave(ledger, "rotate"), leave(ledger, "rotate")
    other = DomainStore(custody, now=lambda: NOW)
    ledger.before_append = lambda: other.rotate(ledger, "A", "x", first)
    with pytest.raises(ConditionFailedError):
        store.rotate(ledger, "A", "x", second)
    assert [each.status for each in ledger.state.pseudonymisation["A", "x"].epochs] == ["retired", "in force"]


def test_two_who_open_at_once_open_the_same(store, custody):
    ledger = MemoryLedger()
    other = DomainStore(custody)
    ledger.before_append = lambda: other.ensure(ledger, "A", "x")
    domain = store.ensure(ledger, "A", "x")
    assert store.secret(domain, ledger.state) == other.secret(domain, ledger.state)
    assert len(ledger.state.pseudonymisation["A", "x"].epochs) == 1


def test_a_domain_from_before_goes_on_with_a_second_epoch(store):
    ledger = MemoryLedger()
    old = Domain("A", "x", 1)
    ledger.append([control.DomainKeyCreated(**BASIC, domain=old.id, key_id="k")])
    assert store.ensure(ledger, "A", "x").epoch == 2


def test_names_that_are_equal_in_nfc_are_one_domain(store):
    ledger = MemoryLedger()
    assert store.ensure(ledger, "Caf\u00e9", "x") == store.ensure(ledger, "Cafe\u0301", "x")


def test_the_fingerprint_key_is_no_secret_of_a_domain(store):
    ledger = MemoryLedger()
    domain = store.ensure(ledger, "A", "x")
    assert store.fingerprint_key() not in {store.secret(domain, ledger.state).value, bytes(range(32))}
    assert len(store.fingerprint_key()) == 32


# -- epochs from before, whose keys derive in another way --------------------------------------------------

PINNED = json.loads(EPOCHS.read_text(encoding="utf-8"))["Example analytics"]
LINE = ("Example", "analytics")


@pytest.fixture
def before(tmp_path):
    """A deployment that the code of before made: files of custody, and a log with one epoch."""
    secrets = tmp_path / "before" / "secrets"
    for name, text in PINNED["files"].items():
        path = secrets / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
        path.chmod(0o600)
    secrets.chmod(0o700)
    store = DomainStore(
        Custody(CustodySettings(secrets, KeysConfig(kek_file=str(secrets / "kek.key")))), now=lambda: NOW
    )
    ledger = MemoryLedger()
    ledger.append([decode(PINNED["opened"].encode())])
    return store, ledger


def made(store, state, domain, place):
    """What the code of now makes of the pinned values of one method and identity space, and the pins."""
    method, _, space = place.partition(" ")
    values, pinned = zip(*PINNED["left"][place], strict=True)
    kind = "key" if space.endswith(".id") else "code"
    got = pseudonymise(
        pa.array(values), method=method, kind=kind, secret=store.secret(domain, state), domain=domain,
        identity_space=space,
    ).to_pylist()  # fmt: skip
    return [str(uuid.UUID(bytes=each)) if isinstance(each, bytes) else each for each in got], list(pinned)


@pytest.mark.parametrize("place", PINNED["left"])
def test_an_epoch_from_before_goes_on_as_it_was_and_a_rotation_begins_the_newest(before, place):
    store, ledger = before
    domain = store.ensure(ledger, *LINE)
    assert (domain.epoch, len(ledger.entries)) == (1, 2)  # it stays in force: nothing changes by itself
    got, pinned = made(store, ledger.state, domain, place)
    assert got == pinned
    new = store.rotate(ledger, *LINE, leave(ledger, "rotate", *LINE))
    derivations = [each.derivation for each in ledger.state.pseudonymisation[LINE].epochs]
    assert derivations == [1, NEWEST]
    assert made(store, ledger.state, domain, place)[0] == pinned  # to be led back for as long as it is there
    assert not set(made(store, ledger.state, new, place)[0]) & set(pinned)
    assert store.ensure(ledger, "Other", "x").epoch == 1
    assert ledger.state.pseudonymisation["Other", "x"].epochs[0].derivation == NEWEST


def test_a_rotation_of_before_is_read_and_its_secret_found(before):
    store, ledger = before
    given = leave(ledger, "rotate", *LINE)
    pinned = decode(PINNED["rotated"].encode())
    ledger.append([dataclasses.replace(pinned, grant=given.grant)])
    for number in (1, 2):
        assert store.secret(Domain(*LINE, number), ledger.state).derivation == 1


def test_a_derivation_that_is_not_the_recorded_one_gives_no_secret(before):
    """Neither lowered nor raised: the record's key id is that of one derivation alone."""
    store, ledger = before
    other = ledger.state.copy()
    known = other.pseudonymisation[LINE]
    raised = dataclasses.replace(known.epochs[0], derivation=2)
    other.pseudonymisation[LINE] = dataclasses.replace(known, epochs=(raised,))
    with pytest.raises(CheckFailedError, match="not the one"):
        store.secret(Domain(*LINE), other)
    new = store.rotate(ledger, *LINE, leave(ledger, "rotate", *LINE))
    known = ledger.state.pseudonymisation[LINE]
    lowered = dataclasses.replace(known.epochs[1], derivation=1)
    ledger.state.pseudonymisation[LINE] = dataclasses.replace(known, epochs=(known.epochs[0], lowered))
    with pytest.raises(CheckFailedError, match="not the one"):
        store.secret(new, ledger.state)


def test_what_was_prepared_before_and_not_recorded_is_opened_anew(before):
    """A crash between the random value and the entry, then the new code: its own derivation of that value."""
    store, _ = before
    ledger = MemoryLedger()
    domain = store.ensure(ledger, *LINE)
    assert store.secret(domain, ledger.state).derivation == NEWEST
    assert ledger.entries[-1].VERSION == 2

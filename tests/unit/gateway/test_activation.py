"""Bringing a folder into force, against a ledger that folds real entries in memory."""

import hashlib

import pytest

from ringfort.config import load_config
from ringfort.errors import CheckFailedError, ConfigurationError
from ringfort.gateway.activation import Activated, activate, load_folder, read_folder
from ringfort.ledger.entry import encode
from ringfort.ledger.entry_control import LogOpened, PolicyActivated
from ringfort.ledger.errors import ConditionFailedError
from ringfort.ledger.folds import ControlState
from ringfort.policy.bundle import ANY_PURPOSE, EVALUATOR, PolicyBundle, write_defaults

CATALOGUE = """
[dataset.shop]
database = "shop"
subject = ""
[dataset.shop.table.customers]
schema = "public"
primary_key = []
[dataset.shop.table.customers.column]
email = { type = "text", protection = "restricted", identifiability = "direct", kind = "email" }
"""
TIME = "2026-01-01T00:00:00Z"


class MemoryLedger:
    """A control log in memory: what is appended is decoded, its condition checked, its blobs kept."""

    def __init__(self):
        self.state = ControlState()
        self.blobs = {}
        self.before_append = lambda: None
        self.append([encode(LogOpened(time=TIME, actor="t", origin="o", vkey="v"))])

    def append(self, entries, *, condition=None, blobs=()):
        self.before_append()
        if condition is not None:
            self.state.require(condition)
        self.blobs |= {hashlib.sha256(each).hexdigest(): each for each in blobs}
        return [self.state.apply(each) for each in entries]


@pytest.fixture
def config(tmp_path):
    (tmp_path / "ringfort.toml").write_text('organisation = "Shop"\n[site.dublin-1]\ndatabases = ["shop"]\n')
    (tmp_path / "catalog.toml").write_text(CATALOGUE)
    (tmp_path / "zones.toml").write_text('[[zone]]\nnetwork = "10.0.0.0/8"\ncountry = "IE"\n')
    write_defaults(tmp_path / "policy")
    return load_config(tmp_path)


def test_everything_comes_into_force_once(config):
    ledger = MemoryLedger()
    changes = activate(config, ledger).changes
    assert [each.split()[0] for each in changes] == ["policy", "catalogue", "network"]
    folder = load_folder(config)
    state = ledger.state
    assert (state.policy, state.evaluator) == (folder.bundle.digest, EVALUATOR)
    assert (state.catalogue, state.zones) == (folder.catalogue.digest(), folder.zones.digest())
    assert {state.policy, state.catalogue, state.zones} == set(ledger.blobs)
    assert PolicyBundle.from_bytes(ledger.blobs[state.policy]) == folder.bundle
    assert state.size == 4
    assert activate(config, ledger) == Activated([], ())
    assert state.size == 4


def test_only_what_changed_is_recorded(config):
    ledger = MemoryLedger()
    activate(config, ledger)
    staff = config.folder / "policy" / "staff.cedar"
    staff.write_text(staff.read_text() + "// looked at again\n")
    (change,) = activate(config, ledger).changes
    assert change.startswith("policy ")
    (config.folder / "zones.toml").unlink()
    (change,) = activate(config, ledger).changes
    assert change.startswith("network zones ")


def test_a_new_evaluator_is_recorded_with_the_same_policy(config):
    ledger = MemoryLedger()
    activate(config, ledger)
    old = PolicyActivated(time=TIME, actor="t", bundle=ledger.state.policy, evaluator="ringfort-policy/0")
    ledger.append([encode(old)])
    (change,) = activate(config, ledger).changes
    assert change.startswith("policy ")
    assert ledger.state.evaluator == EVALUATOR


def test_a_failing_policy_test_keeps_everything_out(config):
    tests = config.folder / "policy" / "tests.toml"
    tests.write_text(tests.read_text().replace('expect = "hidden"', 'expect = "raw"', 1))
    ledger = MemoryLedger()
    with pytest.raises(CheckFailedError, match="1 of the policy tests fail") as caught:
        activate(config, ledger)
    assert "expected raw, got hidden" in caught.value.message
    assert ledger.state.size == 1


def test_an_invalid_folder_keeps_everything_out(config):
    (config.folder / "policy" / "more.cedar").write_text(
        '@id("hr") forbid(principal, action, resource in Dataset::"hr");'
    )
    ledger = MemoryLedger()
    with pytest.raises(ConfigurationError, match=r"more.cedar:1: .*no dataset `hr`"):
        activate(config, ledger)
    assert ledger.state.size == 1
    assert len(read_folder(config).problems) == 1


def test_somebody_else_applying_meanwhile_is_noticed(config):
    ledger = MemoryLedger()

    def meanwhile():
        ledger.before_append = lambda: None
        ledger.append([encode(PolicyActivated(time=TIME, actor="x", bundle="0" * 64, evaluator="e"))])

    ledger.before_append = meanwhile
    with pytest.raises(ConditionFailedError):
        activate(config, ledger)
    assert ledger.state.policy == "0" * 64


def test_a_new_bundle_needs_the_list_of_purposes(config):
    """One of before stays in force; what comes after it says which purposes there are."""
    listed = config.folder / "policy" / "policy.toml"
    text = listed.read_text()
    listed.unlink()
    before = read_folder(config).bundle
    ledger = MemoryLedger()
    ledger.append([encode(PolicyActivated(time=TIME, actor="t", bundle=before.digest, evaluator=EVALUATOR))])
    assert activate(config, ledger).warnings == (ANY_PURPOSE,)
    assert activate(config, ledger) == Activated([], (ANY_PURPOSE,))
    assert ledger.state.policy == before.digest
    (config.folder / "policy" / "more.cedar").write_text("")
    with pytest.raises(ConfigurationError, match="purposes") as raised:
        activate(config, ledger)
    assert "`customer-support`" in raised.value.hint
    listed.write_text(text)
    applied = activate(config, ledger)
    assert applied.changes
    assert applied.warnings == ()

"""A release that is on record and whose publishing failed: it leaves only while what it stands on stands.

Else it is given up on record, whoever comes upon it: the next run, `abandon`, `withdraw`. What had left by
then is said, what had not counts nowhere.
"""

import errno
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from tests.transfer_deployment import (
    CONTRACT,
    ENTITY,
    NAME,
    PASSWORD,
    Deployed,
    digests,
    make,
    shown,
)

from ringfort.errors import MissingEnvironmentError
from ringfort.ledger.entry import format_time
from ringfort.ledger.entry_control import PrincipalRegistered
from ringfort.ledger.note import VerifierKey
from ringfort.policy.contract import Target
from ringfort.record.client import open_ledger
from ringfort.record.disk import OsDisk
from ringfort.system import SystemClock
from ringfort.transfer.publish import place_of
from ringfort.transfer.run import TransferStoppedError, run_transfer
from ringfort.transfer.runners import InProcess
from ringfort.transfer.state import TransferFolder
from ringfort.transfer.verify import verify_release

SIGN = ("--password-stdin", "--as")
DOMAIN = ("--recipient", ENTITY, "--purpose", "product-analytics")


@pytest.fixture(scope="module")
def blocked(tmp_path_factory):
    """A deployment with a run that is recorded and was not published."""
    return block(make(tmp_path_factory.mktemp("recorded") / "shop", rows=30).approve())


@pytest.fixture
def recorded(blocked, tmp_path):
    """The same deployment for each test; its disk is in order by now."""
    return copy_of(blocked, tmp_path)


class Full(OsDisk):
    """Has no room left when a release is about to be put at its target."""

    def write_whole(self, path, data, *, sync=True):
        if path.name == "manifest.note":
            raise OSError(errno.ENOSPC, "no space left on device", str(path))
        super().write_whole(path, data, sync=sync)


def block(deployed):
    """A run is recorded, and cannot be published."""
    with pytest.raises(MissingEnvironmentError):
        run_transfer(deployed.config, NAME, InProcess(), disk=Full())
    assert run_of(deployed).status == "released"
    return deployed


def copy_of(deployed, folder):
    return Deployed(shutil.copytree(deployed.folder, folder / "shop", symlinks=True))


def run_of(deployed, at=-1):
    return deployed.state().transfers[NAME].runs[at]


def line(deployed, run):
    done = deployed.ringfort("transfer", "list", "DIR")
    return next(each.strip() for each in done.stdout.splitlines() if run.id in each)


def run(deployed, *more):
    return deployed.ringfort("transfer", "run", "DIR", NAME, *more)


def left_here(deployed):
    """The folders of runs in the deployment's state."""
    return [each.name for each in (deployed.folder / "state" / "transfers" / NAME).glob("2*")]


# -- what can change ---------------------------------------------------------------------------------------


def command(deployed, *arguments, stdin=f"{PASSWORD}\n"):
    deployed.ringfort(*arguments, stdin=stdin, check=True)


def on_domain(deployed, act):
    asked = (
        "request",
        "DIR",
        *SIGN,
        "olga",
        f"--{act}",
        "--ticket",
        "T-1",
        "--for",
        "10m",
        *DOMAIN,
        "--json",
    )
    grant = shown(deployed.ringfort(*asked, stdin=f"{PASSWORD}\n", check=True))["grant"]
    command(deployed, "approve", "DIR", grant, *SIGN, "ronan")
    sure = ("--yes",) if act == "erase" else ()
    command(deployed, "domain", act, "DIR", *DOMAIN, *SIGN, "olga", "--grant", grant, *sure)


def registered_anew(deployed, name, country, employer, role):
    with open_ledger(deployed.folder) as ledger:
        ledger.append(
            [
                PrincipalRegistered(
                    time=format_time(datetime.now(UTC)), actor="operator", name=name, country=country,
                    employer=employer, role=role,
                )
            ]
        )  # fmt: skip


def edited(deployed, path, old, new):
    file = deployed.folder / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    command(deployed, "policy", "apply", "DIR")


def policy_of_another_day(deployed):
    edited(deployed, "policy/guards.cedar", "\n", "\n// read again\n")


def purpose_is_gone(deployed):
    (deployed.folder / "policy" / "tests.toml").unlink()  # they ask for that purpose
    edited(deployed, "policy/policy.toml", "product-analytics =", "product-reports =")


def column_is_restricted(deployed):
    note = 'note = { type = "text", protection = '
    edited(deployed, "catalog.toml", f'{note}"protected"', f'{note}"restricted"')


def dataset_has_a_table_less(deployed):
    text = (deployed.folder / "catalog.toml").read_text()
    edited(deployed, "catalog.toml", text[text.index("\n[dataset.shop.table.orders]") :], "\n")


def approved_anew(deployed):
    deployed.write(CONTRACT, ('retention = "90d"', 'retention = "30d"')).approve()


def approved_again(deployed):
    """The very same contract: what was recorded under the approval before does not come back."""
    command(deployed, "transfer", "withdraw", "DIR", NAME, *SIGN, "ronan")
    deployed.approve()


CHANGES = {
    "domain erased": (lambda at: on_domain(at, "erase"), "erased", "domain was erased"),
    "domain rotated": (lambda at: on_domain(at, "rotate"), "changed", "domain was rotated"),
    "recipient removed": (
        lambda at: command(at, "principal", "remove", "DIR", "acme"), "changed", "recipient `acme` was",
    ),
    "owner removed": (
        lambda at: command(at, "principal", "remove", "DIR", "olga"), "changed", "owner `olga` was removed",
    ),
    "approver removed": (
        lambda at: command(at, "principal", "remove", "DIR", "ronan"), "changed", "approver `ronan` was",
    ),
    "recipient moved": (
        lambda at: registered_anew(at, "acme", "CN", ENTITY, "analyst"), "changed", "registered anew",
    ),
    "approver left": (
        lambda at: registered_anew(at, "ronan", "IE", "Other", "approver"), "changed", "registered anew",
    ),
    "policy": (policy_of_another_day, "changed", "another policy"),
    "purpose retired": (purpose_is_gone, "changed", "another policy"),
    "catalogue": (column_is_restricted, "changed", "another catalogue"),
    "table dropped": (dataset_has_a_table_less, "changed", "another catalogue"),
    "approved anew": (approved_anew, "changed", "approved anew"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_what_changed_since_it_was_recorded_keeps_it_here_for_good(recorded, name):
    change, outcome, word = CHANGES[name]
    pending = run_of(recorded)
    assert "not published yet" in line(recorded, pending)
    assert "to be deleted" not in line(recorded, pending)
    change(recorded)
    assert "will not be" in line(recorded, pending)
    done = run(recorded)
    assert (done.returncode, "recorded and is not published" in done.stderr) == (1, True), done.stderr
    assert word in done.stderr
    assert "nothing of it had left" in done.stderr
    assert recorded.releases() == []
    assert left_here(recorded) == []
    ended = run_of(recorded)
    assert (ended.id, ended.status, ended.outcome) == (pending.id, "not published", outcome)
    assert (ended.held, ended.rows, ended.delete_by) == (False, 0, None)
    assert line(recorded, ended).endswith(f"not published ({outcome}), nothing of it had left")
    for _ in range(2):  # whatever the next runs do, it does not come back
        run(recorded)
        assert not (recorded.outbox / pending.id).exists()
    assert recorded.ringfort("ledger", "verify", "DIR").returncode == 0


def test_policy_is_asked_again_about_what_no_entry_says(recorded):
    """The recipient's country leaves the region that the deployment is set up for."""
    command(recorded, "transfer", "abandon", "DIR", NAME)
    registered_anew(recorded, "near", "FR", "Near SA", "analyst")
    changes = (
        ('principal = "acme"', 'principal = "near"'),
        (f'entity = "{ENTITY}"', 'entity = "Near SA"'),
        ('country = "US"', 'country = "FR"'),
        ('mechanism = "standard-contractual-clauses"', 'mechanism = "within-region"'),
    )
    block(recorded.write(CONTRACT, *changes).approve())
    file = recorded.folder / "ringfort.toml"
    text = file.read_text()
    assert '"FR", ' in text
    file.write_text(text.replace('"FR", ', ""))
    done = run(recorded)
    assert (done.returncode, "recorded and is not published" in done.stderr) == (1, True), done.stderr
    assert (run_of(recorded).outcome, recorded.releases()) == ("refused", [])


class Later(SystemClock):
    """A clock that is ahead."""

    def __init__(self, days):
        self._ahead = timedelta(days=days)

    def now(self):
        return super().now() + self._ahead


def test_a_retention_that_is_over_keeps_it_here(recorded):
    with pytest.raises(TransferStoppedError, match="was to delete it by"):
        run_transfer(recorded.config, NAME, InProcess(), clock=Later(90.01))
    assert (run_of(recorded).outcome, recorded.releases()) == ("retention", [])


def test_nothing_changed_and_it_leaves(recorded):
    pending = run_of(recorded)
    found = shown(run(recorded, "--json"))
    assert (found["run"], found["resumed"], run_of(recorded).status) == (pending.id, True, "published")
    key = VerifierKey.parse(recorded.vkey())
    assert verify_release(place_of(Target(str(recorded.outbox / pending.id)), ""), key).ok
    assert "to be deleted by" in line(recorded, pending)


def test_what_does_not_concern_it_does_not_keep_it_here(recorded):
    """Other people, other transfers, an earlier run that the recipient has deleted."""
    assert run(recorded).returncode == 0
    earlier = run_of(recorded)
    block(recorded)
    pending = run_of(recorded)
    registered_anew(recorded, "far", "CN", "Far Ltd", "support")
    command(recorded, "principal", "remove", "DIR", "far")
    command(recorded, "transfer", "deleted", "DIR", NAME, earlier.id, "--reference", "DEL-1")
    assert run(recorded).returncode == 0
    assert (run_of(recorded).id, run_of(recorded).status) == (pending.id, "published")


def test_the_contract_on_record_counts_not_its_file(recorded):
    """Neither where it goes nor whose domain is looked at follows a file that was written since."""
    pending = run_of(recorded)
    other = ('principal = "acme"', 'principal = "far"'), (f'entity = "{ENTITY}"', 'entity = "Far Ltd"')
    recorded.write(CONTRACT, *other, ('address = "outbox"', 'address = "elsewhere"'))
    on_domain(recorded, "erase")
    assert run(recorded).returncode == 1
    assert (run_of(recorded).id, run_of(recorded).status) == (pending.id, "not published")
    assert not (recorded.folder / "elsewhere").exists()


# -- while it is published ---------------------------------------------------------------------------------


class Meddling(OsDisk):
    """Does something once, right after the marker that the last file is on its way: too late, or before."""

    def __init__(self, name, act):
        self._name = name
        self._act = act

    def write_whole(self, path, data, *, sync=True):
        super().write_whole(path, data, sync=sync)
        if path.name == self._name and self._act is not None:
            act, self._act = self._act, None
            act()


def test_what_is_erased_while_files_are_copied_does_not_leave(recorded):
    """The release is written below a hidden name, then looked at again, then renamed."""
    disk = Meddling("manifest.note", lambda: on_domain(recorded, "erase"))
    with pytest.raises(TransferStoppedError, match="domain was erased"):
        run_transfer(recorded.config, NAME, InProcess(), disk=disk)
    assert list(recorded.outbox.iterdir()) == []
    ended = run_of(recorded)
    assert (ended.status, ended.held) == ("not published", False)


# -- withdraw and abandon ----------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["withdraw", "abandon"])
@pytest.mark.parametrize("file", ["there", "gone", "broken"])
def test_it_is_given_up_on_record_whatever_the_contracts_file_says(recorded, act, file):
    pending = run_of(recorded)
    if file == "gone":
        recorded.contract_path.unlink()
    if file == "broken":
        recorded.contract_path.write_text("dataset = ")
    words = (*SIGN, "olga") if act == "withdraw" else ()
    done = recorded.ringfort("transfer", act, "DIR", NAME, *words, stdin=f"{PASSWORD}\n", check=True)
    assert f"gave up {pending.id}" in done.stdout
    assert "nothing of it had left" in done.stdout
    ended = run_of(recorded)
    outcome = {"withdraw": "withdrawn", "abandon": "abandoned"}[act]
    assert (ended.status, ended.outcome, ended.held) == ("not published", outcome, False)
    assert (left_here(recorded), recorded.releases()) == ([], [])
    again = recorded.ringfort("transfer", "abandon", "DIR", NAME, check=True)
    assert "no run of" in again.stdout


def test_a_withdrawal_says_when_a_run_is_under_way_which_then_looks_again(recorded):
    held = TransferFolder(recorded.folder, NAME, OsDisk())
    try:
        words = ("transfer", "withdraw", "DIR", NAME, *SIGN, "ronan")
        done = recorded.ringfort(*words, stdin=f"{PASSWORD}\n", check=True)
    finally:
        held.close()
    assert "looks again before it publishes" in done.stderr
    assert run_of(recorded).status == "released"
    assert run(recorded).returncode == 1
    assert (run_of(recorded).status, run_of(recorded).outcome) == ("not published", "withdrawn")


def test_a_withdrawal_ends_a_run_that_was_cut_off_before_it_was_recorded(recorded):
    command(recorded, "transfer", "abandon", "DIR", NAME)
    (recorded.folder / "data" / "orders.parquet").rename(recorded.folder / "data" / "away")

    class Cut(InProcess):
        def run(self, function, common, items, *, rows):
            raise KeyboardInterrupt

    (recorded.folder / "data" / "away").rename(recorded.folder / "data" / "orders.parquet")
    with pytest.raises(KeyboardInterrupt):
        run_transfer(recorded.config, NAME, Cut())
    command(recorded, "transfer", "withdraw", "DIR", NAME, *SIGN, "ronan")
    assert (run_of(recorded).status, run_of(recorded).outcome) == ("stopped", "withdrawn")
    assert left_here(recorded) == []


def test_a_name_that_is_nowhere_is_refused(recorded):
    for act, words in (("abandon", ()), ("withdraw", (*SIGN, "olga"))):
        for name in ("other", "../shop"):
            done = recorded.ringfort("transfer", act, "DIR", name, *words, stdin=f"{PASSWORD}\n")
            assert done.returncode == 2, done.stdout
    assert not (recorded.folder / "state" / "transfers" / "other").exists()


# -- what it counts for ------------------------------------------------------------------------------------


def test_what_never_left_uses_up_neither_cap_nor_schedule(recorded):
    command(recorded, "transfer", "abandon", "DIR", NAME)
    rows = sum(each.rows for each in recorded.state().transfers[NAME].runs)
    assert rows == 0
    once = ('schedule = "on-demand"', 'schedule = "once"'), ("rows = 10_000_000", "rows = 100")
    recorded.write(CONTRACT, *once).approve()
    assert run(recorded).returncode == 0
    assert "made once" in run(recorded).stderr


# -- what had left -----------------------------------------------------------------------------------------


def published_and_unmarked(deployed):
    """As after a kill between the rename and the next write; gives the release's folder."""
    kept = deployed.folder / "kept"
    state = deployed.folder / "state" / "transfers" / NAME
    shutil.copytree(state, kept)
    copied = copy_of(deployed, deployed.folder.parent / "twin")
    assert run(copied).returncode == 0
    shutil.rmtree(kept)
    (folder,) = copied.releases()
    shutil.copytree(folder, deployed.outbox / folder.name)
    return deployed.outbox / folder.name


@pytest.mark.parametrize("how", ["run", "abandon", "withdraw"])
def test_what_is_at_its_target_whole_is_on_record_as_published(recorded, how):
    folder = published_and_unmarked(recorded)
    if how == "run":
        on_domain(recorded, "erase")
        done = run(recorded)
        assert (done.returncode, "was at its target, whole" in done.stderr) == (0, True), done.stderr
    elif how == "abandon":
        done = recorded.ringfort("transfer", "abandon", "DIR", NAME, check=True)
        assert "is on record as published" in done.stdout
    else:
        command(recorded, "transfer", "withdraw", "DIR", NAME, *SIGN, "ronan")
    ended = run_of(recorded)
    assert (ended.status, ended.held, ended.rows) == ("published", True, 90)
    key = VerifierKey.parse(recorded.vkey())
    assert verify_release(place_of(Target(str(folder)), ""), key).ok
    assert left_here(recorded) == []


def test_what_the_recipient_has_taken_apart_by_then_was_published(recorded):
    folder = published_and_unmarked(recorded)
    (folder / "manifest.note").unlink()
    shutil.rmtree(folder / "customers")
    command(recorded, "transfer", "abandon", "DIR", NAME)
    assert run_of(recorded).status == "published"
    assert digests(folder)


def test_a_folder_of_that_name_that_is_not_the_release_is_let_be(recorded):
    theirs = recorded.outbox / run_of(recorded).id
    theirs.mkdir(parents=True)
    (theirs / "file").write_text("theirs")
    assert run(recorded).returncode == 1
    command(recorded, "transfer", "abandon", "DIR", NAME)
    assert (run_of(recorded).status, run_of(recorded).held) == ("not published", False)
    assert (theirs / "file").read_text() == "theirs"


def test_a_run_whose_folder_is_gone_counts_as_if_all_of_it_had_left(recorded):
    """Nothing says how far it came; the next run goes on without it."""
    pending = run_of(recorded)
    shutil.rmtree(recorded.folder / "state" / "transfers" / NAME / pending.id)
    assert run(recorded).returncode == 0
    lost, new = (run_of(recorded, at) for at in (-2, -1))
    assert (lost.id, lost.status, lost.outcome, lost.rows) == (pending.id, "not published", "lost", 90)
    assert lost.held
    assert "may have left" in line(recorded, lost)
    assert "to be deleted by" in line(recorded, lost)
    assert (new.status, len(recorded.releases())) == ("published", 1)


def test_copies_that_a_kill_left_under_a_hidden_name_are_closed_to_others_and_go(recorded):
    pending = run_of(recorded)
    seen = []

    class Looking(OsDisk):
        def write_whole(self, path, data, *, sync=True):
            if path.name == "sent.json":
                (staged,) = recorded.outbox.glob(f".{pending.id}.*")
                seen.append(staged.stat().st_mode & 0o777)
                raise KeyboardInterrupt
            super().write_whole(path, data, sync=sync)

    with pytest.raises(KeyboardInterrupt):
        run_transfer(recorded.config, NAME, InProcess(), disk=Looking())
    assert seen == [0o700]
    left = recorded.outbox / f".{pending.id}.0123456789abcdef"
    left.mkdir()
    (left / "part").write_text("half")
    command(recorded, "transfer", "abandon", "DIR", NAME)
    assert list(recorded.outbox.iterdir()) == []
    assert not run_of(recorded).held


def test_a_release_that_turns_up_after_it_was_given_up_is_a_violation_for_who_has_the_record(recorded):
    """Its proof holds: it was recorded."""
    copied = copy_of(recorded, recorded.folder.parent / "twin")
    assert run(copied).returncode == 0
    (release,) = copied.releases()
    command(recorded, "transfer", "abandon", "DIR", NAME)
    verify = ("transfer", "verify", str(release), "--vkey", recorded.vkey())
    assert recorded.ringfort(*verify).returncode == 0
    done = recorded.ringfort(*verify, "--deployment", "DIR")
    assert (done.returncode, "says since that it is not published (abandoned)" in done.stdout) == (1, True)
    done = copied.ringfort(*verify, "--deployment", "DIR")
    assert done.returncode == 0, done.stdout

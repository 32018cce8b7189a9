"""The second gate attacked: contracts that lead astray, targets that are traps, changed releases."""

import base64
import json
import shutil
import threading

import pyarrow.parquet as pq
import pytest
from tests.transfer_deployment import CONTRACT, ENTITY, NAME, digests, make

from ringfort.errors import RingfortError, UsageError
from ringfort.ledger.note import VerifierKey
from ringfort.policy.contract import Target
from ringfort.policy.contract_check import ContractRefusedError
from ringfort.record.client import open_ledger
from ringfort.system import SystemClock
from ringfort.transfer.ending import withdraw
from ringfort.transfer.publish import FolderPlace, PublishError, place_of
from ringfort.transfer.run import TransferStoppedError, run_transfer
from ringfort.transfer.runners import InProcess
from ringfort.transfer.source import parts_of
from ringfort.transfer.verify import verify_release


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    return make(tmp_path_factory.mktemp("attack") / "shop", rows=300).approve()


@pytest.fixture
def fresh(deployed):
    """The deployment with its first contract in force."""
    return deployed.write().approve()


@pytest.fixture(scope="module")
def released(deployed):
    """A release and the log's key."""
    outcome = run_transfer(deployed.write().approve().config, NAME, InProcess())
    return deployed.outbox / outcome.run, VerifierKey.parse(deployed.vkey())


def nothing(_):
    """What is told of the progress, and asked before something leaves."""


class Meddler(InProcess):
    """Does the tasks, and once, after the first of their lists, what an attacker would."""

    def __init__(self, act):
        self._act = act

    def run(self, function, common, items, *, rows):
        yield from super().run(function, common, items, rows=rows)
        act, self._act = self._act, lambda: None
        act()


# -- the contract ------------------------------------------------------------------------------------------


def test_a_contract_that_is_changed_between_approval_and_run_does_not_leave(fresh):
    fresh.write(CONTRACT, ('born = "generalised"\n', ""))
    with pytest.raises(ContractRefusedError, match="changed since it was approved"):
        run_transfer(fresh.config, NAME, InProcess())


def test_a_contract_file_that_is_changed_during_the_run_changes_nothing(fresh):
    outcome = run_transfer(
        fresh.config,
        NAME,
        Meddler(lambda: fresh.write(CONTRACT, ('address = "outbox"', 'address = "elsewhere"'))),
    )
    assert (fresh.outbox / outcome.run).is_dir()
    assert not (fresh.folder / "elsewhere").exists()


def test_a_policy_that_forbids_during_the_run_stops_the_release(fresh):
    guards = fresh.folder / "policy" / "guards.cedar"
    before = guards.read_text()
    forbid = '@id("stop-it") forbid(principal, action, resource) when { context.viewer_country == "US" };\n'
    tests = fresh.folder / "policy" / "tests.toml"
    tests_before = tests.read_text()

    def act():
        tests.unlink()
        guards.write_text(before + forbid)
        fresh.ringfort("policy", "apply", "DIR", check=True)

    known = fresh.releases()
    try:
        with pytest.raises(TransferStoppedError, match="nothing was released"):
            run_transfer(fresh.config, NAME, Meddler(act))
        assert fresh.releases() == known
        run = fresh.state().transfers[NAME].runs[-1]
        assert (run.status, run.outcome) == ("stopped", "changed")
        with pytest.raises(ContractRefusedError, match="stop-it"):
            run_transfer(fresh.config, NAME, InProcess())
    finally:
        guards.write_text(before)
        tests.write_text(tests_before)
        fresh.ringfort("policy", "apply", "DIR", check=True)


def test_an_approval_withdrawn_during_the_run_stops_the_release(fresh):
    def act():
        with open_ledger(fresh.folder) as ledger:
            withdraw(fresh.config, ledger, NAME, "olga", "", clock=SystemClock())

    known = fresh.releases()
    with pytest.raises(TransferStoppedError):
        run_transfer(fresh.config, NAME, Meddler(act))
    assert fresh.releases() == known


def test_a_recipient_in_a_forbidden_country_gets_nothing_about_people(fresh):
    changes = (
        ('principal = "acme"', 'principal = "far"'),
        (f'entity = "{ENTITY}"', 'entity = "Far Ltd"'),
        ('country = "US"', 'country = "CN"'),
    )
    fresh.write(CONTRACT, *changes)
    with pytest.raises(ContractRefusedError, match="high-risk-countries-see-no-personal-data"):
        fresh.approve()


def test_a_rewritten_source_is_noticed(fresh):
    path = fresh.folder / "data" / "orders.parquet"
    before = path.read_bytes()

    def act():
        pq.write_table(pq.read_table(path).slice(0, 10), path)

    known = fresh.releases()
    try:
        with pytest.raises(TransferStoppedError, match="has changed since the run began"):
            run_transfer(fresh.config, NAME, Meddler(act))
        assert fresh.releases() == known
    finally:
        path.write_bytes(before)


def test_a_run_that_was_broken_off_is_given_up_on_record(fresh):
    def act():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_transfer(fresh.config, NAME, Meddler(act))
    known = fresh.releases()
    done = fresh.ringfort("transfer", "abandon", "DIR", NAME, check=True)
    assert "which was started" in done.stdout
    run = fresh.state().transfers[NAME].runs[-1]
    assert (run.status, run.outcome) == ("stopped", "abandoned")
    assert not run_transfer(fresh.config, NAME, InProcess()).resumed
    assert len(fresh.releases()) == len(known) + 1


def test_two_runs_of_one_transfer_do_not_meet(fresh):
    entered, go_on = threading.Event(), threading.Event()

    def act():
        entered.set()
        assert go_on.wait(60)

    first = threading.Thread(target=run_transfer, args=(fresh.config, NAME, Meddler(act)))
    first.start()
    assert entered.wait(60)
    try:
        with pytest.raises(UsageError, match="run by another process"):
            run_transfer(fresh.config, NAME, InProcess())
    finally:
        go_on.set()
        first.join()


# -- the target --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["secrets", "state/ledger", "policy", "transfers", "./secrets/x"])
def test_a_release_never_goes_into_the_deployments_own_folders(fresh, address):
    fresh.write(CONTRACT, ('address = "outbox"', f'address = "{address}"'))
    with pytest.raises(ContractRefusedError, match="a folder of the deployment itself"):
        fresh.approve()


def test_a_link_in_place_of_the_target_is_not_followed(deployed, tmp_path):
    trap = tmp_path / "trap"
    trap.mkdir()
    link = tmp_path / "outbox"
    link.symlink_to(trap)
    source = tmp_path / "file"
    source.write_bytes(b"x")
    with pytest.raises(PublishError, match="or a link"):
        FolderPlace(link, "run").publish({"a/b": source}, nothing, nothing)
    assert list(trap.iterdir()) == []
    with pytest.raises(UsageError, match="deployment itself"):
        place_of(Target("."), "run", deployed.folder, NAME)
    inside = deployed.folder / "leads-to-secrets"
    inside.symlink_to(deployed.folder / "secrets")
    with pytest.raises(UsageError, match="deployment itself"):
        place_of(Target("leads-to-secrets"), "run", deployed.folder, NAME)
    inside.unlink()


def test_a_link_or_file_under_the_runs_name_is_not_written_through(tmp_path):
    outbox, trap = tmp_path / "outbox", tmp_path / "trap"
    outbox.mkdir()
    trap.mkdir()
    source = tmp_path / "file"
    source.write_bytes(b"x")
    (outbox / "linked").symlink_to(trap)
    (outbox / "file").write_bytes(b"here before")
    for name in ("linked", "file"):
        with pytest.raises(PublishError, match="there already"):
            FolderPlace(outbox, name).publish({"a": source}, nothing, nothing)
    assert list(trap.iterdir()) == []
    assert (outbox / "file").read_bytes() == b"here before"


def test_a_release_that_is_there_already_is_compared_not_overwritten(tmp_path):
    source, other = tmp_path / "one", tmp_path / "two"
    source.write_bytes(b"one")
    other.write_bytes(b"two")
    place = FolderPlace(tmp_path / "outbox", "run")
    place.publish({"t/a": source, "manifest.note": source}, nothing, nothing)
    place.publish({"t/a": source, "manifest.note": source}, nothing, nothing)
    for files in ({"t/a": other, "manifest.note": source}, {"t/a": source}):
        with pytest.raises(PublishError, match="there already"):
            place.publish(files, nothing, nothing)
    assert (tmp_path / "outbox" / "run" / "t" / "a").read_bytes() == b"one"


def test_a_store_that_is_not_encrypted_on_the_way_is_refused(fresh):
    changed = 'address = "s3://bucket/x"\nendpoint = "http://s3.example.org"'
    fresh.write(CONTRACT, ('address = "outbox"', changed))
    with pytest.raises(RingfortError, match="not reached over TLS"):
        run_transfer(fresh.config, NAME, InProcess())


# -- the release -------------------------------------------------------------------------------------------


def edited(note, act):
    head, line, rest = note.split("\n", 2)
    document = json.loads(line)
    act(document)
    line = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return f"{head}\n{line}\n{rest}"


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def change_file(folder):
    path = folder / "orders" / "part-00000.parquet"
    path.write_bytes(flipped(path.read_bytes(), 100))


def lengthen(folder):
    path = folder / "orders" / "part-00000.parquet"
    path.write_bytes(path.read_bytes() + b"x")


def change_manifest(folder):
    path = folder / "manifest.note"
    path.write_text(
        edited(path.read_text(), lambda found: found.update(delete_by="2099-01-01T00:00:00.000000Z"))
    )


def drop_a_file_and_its_line(folder):
    shutil.rmtree(folder / "orders")
    path = folder / "manifest.note"
    path.write_text(edited(path.read_text(), lambda found: found["tables"].pop()))


def point_elsewhere(folder):
    path = folder / "manifest.note"
    path.write_text(
        edited(path.read_text(), lambda found: found["tables"][0]["files"][0].update(path="../../etc/passwd"))
    )


def change_the_entry(folder):
    path = folder / "manifest.tlog-proof"
    lines = path.read_text().split("\n")
    entry = base64.b64decode(lines[1].removeprefix("extra ")).replace(b'"rows":900', b'"rows":901')
    lines[1] = "extra " + base64.b64encode(entry).decode()
    path.write_text("\n".join(lines))


def sign_by_another(folder):
    from ringfort.ledger.note import Ed25519Signer, parse_note, sign_note

    path = folder / "manifest.note"
    text = parse_note(path.read_bytes()).text
    path.write_bytes(sign_note(text, [Ed25519Signer("example.example/transfers", bytes(32))]))


ATTACKS = {
    "a byte of a file": (change_file, "has been changed"),
    "a file is gone": (lambda folder: (folder / "orders" / "part-00000.parquet").unlink(), "cannot be read"),
    "a file more": (lambda folder: (folder / "more.parquet").write_bytes(b"x"), "not in the manifest"),
    "a cosignature of what is not sealed": (
        lambda folder: (folder / "cosignature.note").write_bytes(b"x"),
        "not in the manifest",
    ),
    "a hidden file more": (lambda folder: (folder / ".more").write_bytes(b"x"), "not in the manifest"),
    "a link for a file": (
        lambda folder: (
            (folder / "customers" / "part-00000.parquet").rename(folder.parent / "moved"),
            (folder / "customers" / "part-00000.parquet").symlink_to(folder.parent / "moved"),
        ),
        "cannot be read",
    ),
    "a longer file": (lengthen, "bytes, the manifest says"),
    "another date in the manifest": (change_manifest, "not the one that the ledger's entry names"),
    "a table less in the manifest": (drop_a_file_and_its_line, "not the one that the ledger's entry names"),
    "a path out of the folder": (point_elsewhere, "not the one that the ledger's entry names"),
    "another entry in the proof": (change_the_entry, "proof of the ledger does not hold"),
    "another signer": (sign_by_another, "not the one that the ledger's entry names"),
    "no manifest": (lambda folder: (folder / "manifest.note").unlink(), "holds no `manifest.note`"),
    "no proof": (lambda folder: (folder / "manifest.tlog-proof").unlink(), "cannot be read"),
    "an empty proof": (lambda folder: (folder / "manifest.tlog-proof").write_bytes(b""), "does not hold"),
    "a manifest of nothing": (lambda folder: (folder / "manifest.note").write_bytes(b""), "not the one"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_release_that_was_changed_does_not_verify(released, tmp_path, name):
    folder, key = released
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert verify_release(place_of(Target(str(copy)), ""), key).ok
    attack, word = ATTACKS[name]
    attack(copy)
    found = verify_release(place_of(Target(str(copy)), ""), key)
    assert not found.ok
    assert any(word in each for each in found.problems), found.problems


def test_the_proof_of_another_release_does_not_stand_in(released, deployed, tmp_path):
    folder, key = released
    other = run_transfer(deployed.write().approve().config, NAME, InProcess())
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    shutil.copy(deployed.outbox / other.run / "manifest.tlog-proof", copy)
    assert not verify_release(place_of(Target(str(copy)), ""), key).ok
    assert digests(folder) == digests(deployed.outbox / other.run)


def test_every_byte_of_manifest_and_proof_counts(released, tmp_path):
    folder, key = released
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for name in ("manifest.note", "manifest.tlog-proof"):
        data = (folder / name).read_bytes()
        for at in range(0, len(data), max(len(data) // 60, 1)):
            (copy / name).write_bytes(flipped(data, at))
            assert not verify_release(place_of(Target(str(copy)), ""), key).ok, (name, at)
        (copy / name).write_bytes(data)


# -- what stays behind -------------------------------------------------------------------------------------


def test_nothing_of_a_run_is_left_in_the_deployment_or_open_to_others(fresh, released):
    run_transfer(fresh.config, NAME, Meddler(lambda: check_private(fresh.folder / "state" / "transfers")))
    left = list((fresh.folder / "state" / "transfers" / NAME).rglob("*.parquet"))
    assert [each for each in left if "kept" not in each.parts] == []


def check_private(folder):
    for each in folder.rglob("*"):
        assert each.stat().st_mode & 0o077 == 0, each


def test_parts_are_named_after_tables_without_leading_anywhere(deployed):
    from ringfort.transfer.source import SourceTable

    (part,) = parts_of(SourceTable("../../etc/passwd", (), 64))
    assert "/" not in part.id

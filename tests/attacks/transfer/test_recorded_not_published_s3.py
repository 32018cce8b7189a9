"""A release to a store that takes only a part of it: what is there is looked at, said, and removed.

The store is a real one behind a proxy that refuses requests, or ends the process that makes them.
"""

import os
import re
import signal
import subprocess

import pytest
from tests.attacks.transfer.test_recorded_not_published import command, line, on_domain, run_of
from tests.s3_server import BUCKET, Proxy, client, s3_server
from tests.transfer_deployment import COMMAND, CONTRACT, NAME, make, shown

from ringfort.private_files import write_private

FIRST = "customers/part-00000.parquet"


@pytest.fixture(scope="module")
def server():
    with s3_server() as address:
        client(address).put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield address


@pytest.fixture
def proxy(server):
    with Proxy(server) as made:
        yield made


@pytest.fixture
def store(server):
    return client(server)


@pytest.fixture
def deployed(proxy, tmp_path):
    made = make(tmp_path / "shop", rows=30)
    target = f'address = "s3://{BUCKET}/out"\nendpoint = "{proxy.address}"'
    write_private(made.folder / "secrets" / f"transfer-{NAME}.s3", b"access\nsecret\n")
    return made.write(CONTRACT, ('address = "outbox"', target)).approve()


def run(deployed):
    return deployed.ringfort("transfer", "run", "DIR", NAME)


def versions(store, run_id):
    """Every version and delete marker below the run's prefix: `(key below it, kind)`."""
    found = store.list_object_versions(Bucket=BUCKET, Prefix=f"out/{run_id}/")
    return sorted(
        (each["Key"].removeprefix(f"out/{run_id}/"), kind)
        for kind in ("Versions", "DeleteMarkers")
        for each in found.get(kind, ())
    )


def uploads(store, run_id):
    found = store.list_multipart_uploads(Bucket=BUCKET, Prefix=f"out/{run_id}/")
    return [each["Key"] for each in found.get("Uploads", ())]


def refuse(proxy, word, status=403, method="PUT"):
    """The store takes no object of this name."""
    proxy.before = lambda asked, path: status if asked == method and word in path else None


def allow(proxy):
    proxy.before = lambda method, path: None


def half_published(deployed, proxy, store, word="manifest.note"):
    refuse(proxy, word)
    done = run(deployed)
    assert done.returncode == 3, (done.stdout, done.stderr)
    pending = run_of(deployed)
    assert pending.status == "released"
    assert (FIRST, "Versions") in versions(store, pending.id)
    allow(proxy)
    return pending


# -- what stands, and what does not ------------------------------------------------------------------------


def test_what_stands_goes_on_to_the_same_release(deployed, proxy, store):
    pending = half_published(deployed, proxy, store)
    found = shown(deployed.ringfort("transfer", "run", "DIR", NAME, "--json", check=True))
    assert (found["run"], found["resumed"], run_of(deployed).status) == (pending.id, True, "published")
    assert "manifest.note" in dict(versions(store, pending.id))


@pytest.mark.parametrize("how", ["domain erased", "recipient removed", "withdraw", "abandon"])
def test_what_does_not_is_removed_in_every_version_and_said(deployed, proxy, store, how):
    pending = half_published(deployed, proxy, store)
    store.put_object(Bucket=BUCKET, Key=f"out/{pending.id}/{FIRST}", Body=b"an older try")
    store.put_object(Bucket=BUCKET, Key=f"out/{pending.id}/theirs", Body=b"of somebody else")
    store.put_object(Bucket=BUCKET, Key=f"out/{pending.id}-other/{FIRST}", Body=b"of somebody else")
    store.create_multipart_upload(Bucket=BUCKET, Key=f"out/{pending.id}/{FIRST}")
    if how == "withdraw":
        command(deployed, "transfer", "withdraw", "DIR", NAME, "--password-stdin", "--as", "olga")
    elif how == "abandon":
        command(deployed, "transfer", "abandon", "DIR", NAME)
    else:
        if how == "domain erased":
            on_domain(deployed, "erase")
        else:
            command(deployed, "principal", "remove", "DIR", "acme")
        done = run(deployed)
        assert (done.returncode, "2 of its files had reached" in done.stderr) == (1, True), done.stderr
    ended = run_of(deployed)
    assert (ended.id, ended.status, ended.files, ended.rows) == (pending.id, "not published", 2, 90)
    assert ended.held
    assert versions(store, pending.id) == [("theirs", "Versions")]
    assert uploads(store, pending.id) == []
    assert store.head_object(Bucket=BUCKET, Key=f"out/{pending.id}-other/{FIRST}")
    said = line(deployed, ended)
    assert "2 files with 90 rows may have left" in said
    assert "to be deleted by" in said
    assert not list((deployed.folder / "state" / "transfers" / NAME).glob("2*"))
    command(deployed, "transfer", "deleted", "DIR", NAME, ended.id, "--reference", "DEL-1")
    assert not run_of(deployed).held


@pytest.mark.parametrize(("method", "files", "rows"), [("POST", 1, 30), ("PUT", 2, 90)])
def test_only_what_had_begun_to_leave_is_counted(  # noqa: PLR0917 - fixtures
    deployed, proxy, store, method, files, rows
):
    """The second file: its upload is refused, or, one step later, its bytes."""
    refuse(proxy, "orders/part-00000", method=method)
    assert run(deployed).returncode == 3
    pending = run_of(deployed)
    assert (FIRST, "Versions") in versions(store, pending.id)
    allow(proxy)
    command(deployed, "transfer", "abandon", "DIR", NAME)
    ended = run_of(deployed)
    assert (ended.id, ended.files, ended.rows) == (pending.id, files, rows)
    assert versions(store, pending.id) == []


@pytest.mark.parametrize("everything", [True, False])
def test_nothing_had_left_where_the_store_took_nothing(deployed, proxy, everything):
    """It refuses whatever is asked (no bucket, no right, away), or whatever would write."""
    proxy.before = lambda method, path: 403 if everything or method in {"PUT", "POST"} else None
    for _ in range(2):
        assert run(deployed).returncode == 3
    command(deployed, "transfer", "abandon", "DIR", NAME)
    assert (run_of(deployed).status, run_of(deployed).held) == ("not published", False)
    assert line(deployed, run_of(deployed)).endswith("nothing of it had left")


def test_nothing_is_left_to_remove_in_a_bucket_that_is_gone(deployed, proxy, store):
    pending = half_published(deployed, proxy, store)
    proxy.before = lambda method, path: 404
    done = deployed.ringfort("transfer", "abandon", "DIR", NAME, check=True)
    assert "is not removed" not in done.stdout
    assert (run_of(deployed).files, versions(store, pending.id) != []) == (2, True)


def test_what_is_erased_while_objects_are_put_is_no_release(deployed, proxy, store):
    """The last look is right before the manifest."""
    done_once = []

    def after(method, path):
        if method in {"PUT", "POST"} and "manifest.tlog-proof" in path and not done_once:
            done_once.append(path)
            command(deployed, "principal", "remove", "DIR", "acme")

    proxy.after = after
    done = run(deployed)
    assert done_once
    assert (done.returncode, "recipient `acme` was removed" in done.stderr) == (1, True), done.stderr
    ended = run_of(deployed)
    assert (ended.status, ended.files) == ("not published", 2)
    assert versions(store, ended.id) == []


# -- a store that is away ----------------------------------------------------------------------------------


@pytest.mark.parametrize("later", ["abandon", "run"])
def test_a_store_that_does_not_answer_keeps_nothing_from_the_record(deployed, proxy, store, later):
    pending = half_published(deployed, proxy, store)
    proxy.before = lambda method, path: 503
    done = deployed.ringfort("transfer", "abandon", "DIR", NAME, check=True)
    assert "is not removed" in done.stdout
    ended = run_of(deployed)
    assert (ended.status, ended.files) == ("not published", 2)
    assert "abandon` removes what is at the target" in line(deployed, ended)
    left = deployed.folder / "state" / "transfers" / NAME / ended.id
    assert not list(left.rglob("*.parquet"))
    assert versions(store, pending.id)
    allow(proxy)
    if later == "abandon":
        command(deployed, "transfer", "abandon", "DIR", NAME)
    else:
        assert run(deployed).returncode == 0
        assert [each.status for each in deployed.state().transfers[NAME].runs] == [
            "not published",
            "published",
        ]
    assert versions(store, pending.id) == []
    assert not left.exists()
    assert "removes" not in line(deployed, ended)


# -- kills -------------------------------------------------------------------------------------------------


class Killing:
    """Runs a command in a process of its own, which is killed at a request to the store."""

    def __init__(self, deployed, proxy):
        self._deployed = deployed
        self._proxy = proxy

    def __call__(self, pattern, *arguments, when="before", number=1):
        started = []
        seen = []

        def kill(method, path):
            if re.search(pattern, f"{method} {path}"):
                seen.append(path)
                if len(seen) == number:
                    started[0].send_signal(signal.SIGKILL)
                    started[0].wait()

        setattr(self._proxy, when, kill)
        process = subprocess.Popen(
            [*COMMAND, "transfer", arguments[0], str(self._deployed.folder), NAME, *arguments[1:]],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(os.environ),
        )
        started.append(process)
        assert process.wait(120) == -signal.SIGKILL, seen
        setattr(self._proxy, when, lambda method, path: None)


@pytest.fixture
def killing(deployed, proxy):
    return Killing(deployed, proxy)


PUTS = {
    "before the first object": (f"(PUT|POST) .*{FIRST}", "before"),
    "after the first object": (f"(PUT|POST) .*{FIRST}", "after"),
    "before the second": ("(PUT|POST) .*orders/part", "before"),
    "before the proof": ("(PUT|POST) .*manifest.tlog-proof", "before"),
    "before the manifest": ("(PUT|POST) .*manifest.note", "before"),
    "after the manifest": ("PUT .*manifest.note|POST .*manifest.note.*uploadId", "after"),
}


MOMENTS = [(point, stands) for point in PUTS for stands in (True, False)]
FEW = [("before the manifest", False), ("after the manifest", False)]


@pytest.mark.parametrize(
    ("point", "stands"),
    [pytest.param(*each, marks=() if each in FEW else pytest.mark.long) for each in MOMENTS],
)
def test_a_kill_while_objects_are_put_ends_published_or_not_never_both(  # noqa: PLR0917 - fixtures
    deployed, proxy, store, killing, point, stands
):
    pattern, when = PUTS[point]
    killing(pattern, "run", when=when)
    pending = run_of(deployed)
    assert pending.status == "released"
    whole = "manifest.note" in dict(versions(store, pending.id))
    if not stands:
        on_domain(deployed, "erase")
    done = run(deployed)
    ended = run_of(deployed)
    assert ended.id == pending.id
    there = dict(versions(store, pending.id))
    if stands or whole:
        assert (done.returncode, ended.status) == (0, "published"), done.stderr
        assert set(there) == {FIRST, "orders/part-00000.parquet", "manifest.note", "manifest.tlog-proof"}
    else:
        assert (done.returncode, ended.status) == (1, "not published")
        assert there == {}
    assert uploads(store, pending.id) == []
    assert deployed.ringfort("ledger", "verify", "DIR").returncode == 0


@pytest.mark.parametrize(
    ("number", "when"),
    [
        pytest.param(1, "before", marks=pytest.mark.long),
        (1, "after"),
        pytest.param(2, "before", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("later", ["abandon", "run"])
def test_a_kill_while_objects_are_removed_is_on_record_before_and_goes_on(  # noqa: PLR0917 - fixtures
    deployed, proxy, store, killing, number, when, later
):
    pending = half_published(deployed, proxy, store)
    killing("DELETE ", "abandon", number=number, when=when)
    ended = run_of(deployed)
    assert (ended.status, ended.files) == ("not published", 2)
    assert versions(store, pending.id)
    deployed.ringfort("transfer", later, "DIR", NAME, check=True)
    assert versions(store, pending.id) == []
    assert run_of(deployed, 0) == ended

"""A run that goes on after an upgrade: fingerprints of another version are made anew, not read."""

import hashlib
import hmac
import json
from pathlib import Path

import pytest
from tests.transfer_deployment import CONTRACT, NAME, digests, make, shown, to_site

from ringfort.errors import MissingEnvironmentError
from ringfort.privacy.fingerprint_set import derived_key
from ringfort.sites.domains import DomainStore
from ringfort.transfer.fingerprints import FORMAT, can_be_used
from ringfort.transfer.inspect import KeptFingerprints
from ringfort.transfer.run import run_transfer
from ringfort.transfer.runners import InProcess

FILES = CONTRACT[CONTRACT.index("[source]") : CONTRACT.index("[table.customers.column]")]


class Gone(InProcess):
    """Workers that are gone when they are asked for the first part."""

    def run(self, *_arguments, **_options):
        raise MissingEnvironmentError("the workers are gone")


@pytest.fixture(params=["files", "site"])
def cut_off(request, tmp_path):
    """A deployment with a run that was cut off after it had read; what it would have released."""
    made = make(tmp_path / "shop", rows=300)
    if request.param == "site":
        to_site(made, request.getfixturevalue("fresh_database"))
        made.write(CONTRACT, (FILES, ""))
    made.approve()
    made.ringfort("transfer", "run", "DIR", NAME, check=True)
    whole = digests(made.releases()[0])
    with pytest.raises(MissingEnvironmentError, match="workers are gone"):
        run_transfer(made.config, NAME, Gone())
    return made, whole


def run_folder(deployed):
    (found,) = (deployed.folder / "state" / "transfers" / NAME).glob("2*")
    return found


def rewritten(deployed, change):
    """The run's set as another version would have written it, whole and under our key."""
    folder = run_folder(deployed)
    key = DomainStore.of(deployed.config).fingerprint_key()
    path = folder / "identifiers"
    data = path.read_bytes()
    size = int.from_bytes(data[:4])
    head, body = change(data[4 : 4 + size][:-32], data[4 + size : -32])
    head += hmac.digest(derived_key(key, "made from"), head, "sha256")
    body += hmac.digest(derived_key(key, "file"), body, "sha256")
    path.unlink()  # it is the transfer's, too, by another name
    path.write_bytes(len(head).to_bytes(4) + head + body)
    path.chmod(0o600)
    marker = folder / "identifiers.json"
    kept = json.loads(marker.read_text()) | {"digest": hashlib.sha256(path.read_bytes()).hexdigest()}
    marker.write_text(json.dumps(kept))
    return kept, key


CHANGES = {
    "texts were folded otherwise": lambda head, body: (
        head, body.replace(b"ringfort-fingerprints/2", b"ringfort-fingerprints/1"),
    ),
    "rows were put together otherwise": lambda head, body: (
        head.replace(FORMAT.encode(), b"ringfort-identifiers/1"), body,
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", list(CHANGES))
def test_fingerprints_of_another_version_are_made_anew(cut_off, change):
    deployed, whole = cut_off
    kept, key = rewritten(deployed, CHANGES[change])
    assert not can_be_used(KeptFingerprints(**kept), key)
    done = deployed.ringfort("transfer", "run", "DIR", NAME, "--json")
    assert done.returncode == 0, done.stderr
    found = shown(done)
    assert found["resumed"] is True
    assert digests(deployed.outbox / found["run"]) == whole


def test_a_set_that_is_of_this_version_is_not_made_again(cut_off):
    deployed, whole = cut_off
    kept, key = rewritten(deployed, lambda head, body: (head, body))
    assert can_be_used(KeptFingerprints(**kept), key)
    before = (run_folder(deployed) / "identifiers").stat().st_mtime_ns
    with pytest.raises(MissingEnvironmentError):
        run_transfer(deployed.config, NAME, Gone())
    assert (run_folder(deployed) / "identifiers").stat().st_mtime_ns == before
    found = shown(deployed.ringfort("transfer", "run", "DIR", NAME, "--json", check=True))
    assert digests(deployed.outbox / found["run"]) == whole


@pytest.mark.parametrize("damage", [b"", b"noise", None])
def test_a_set_that_is_damaged_or_gone_is_made_anew(cut_off, damage):
    deployed, whole = cut_off
    path = Path(run_folder(deployed) / "identifiers")
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    found = shown(deployed.ringfort("transfer", "run", "DIR", NAME, "--json", check=True))
    assert digests(deployed.outbox / found["run"]) == whole

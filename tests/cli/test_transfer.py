"""`ringfort transfer`: from a contract to a release that its recipient verifies; and what is refused."""

import base64
import json
import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.transfer_deployment import CONTRACT, ENTITY, NAME, PASSWORD, digests, make, shown

from ringfort.ledger.note import VerifierKey, sign_note
from ringfort.privacy.methods import pseudonymise
from ringfort.sites.domains import DomainStore
from ringfort.transfer.opening import read_signing_key

RESTRICTED = b"@example.org"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    return make(tmp_path_factory.mktemp("transfer") / "shop")


@pytest.fixture(scope="module")
def released(deployed):
    """A contract that was approved and run once by the commands."""
    approve(deployed)
    return shown(deployed.ringfort("transfer", "run", "DIR", NAME, "--json", check=True))


@pytest.fixture
def contract(deployed):
    """Puts the contract back afterwards; what was approved last stays so."""
    yield deployed
    deployed.write()


def approve(deployed, who="ronan", password=PASSWORD):
    arguments = ("transfer", "approve", "DIR", NAME, "--as", who, "--password-stdin")
    return deployed.ringfort(*arguments, stdin=f"{password}\n")


def run(deployed, *options):
    return deployed.ringfort("transfer", "run", "DIR", NAME, *options)


def refused(done, code, word):
    assert done.returncode == code, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    first = done.stderr.splitlines()[0]
    assert first.startswith("error: ")
    assert word in first
    return first


# -- what leaves -------------------------------------------------------------------------------------------


def test_what_left_is_what_the_contract_says(deployed, released):
    assert (released["released"], released["resumed"], released["rows"]) == (True, False, 9_000)
    folder = deployed.outbox / released["run"]
    customers = pq.read_table(folder / "customers")
    assert customers.column_names == ["id", "name", "born", "country", "note"]
    store = DomainStore.of(deployed.config)
    state = deployed.state()
    domain = store.current(ENTITY, "product-analytics", state)
    expected = pseudonymise(
        pa.array(range(1, 3_001), pa.int64()), method="cmac", kind="key", secret=store.secret(domain, state),
        domain=domain, identity_space="shop.customers.id",
    )  # fmt: skip
    got = customers.column("id").combine_chunks()
    got = got.storage if isinstance(got.type, pa.BaseExtensionType) else got
    assert got.equals(expected.take(pc.array_sort_indices(expected)))  # sorted by pseudonym
    orders = pq.read_table(folder / "orders")
    assert set(orders.column("customer_id").to_pylist()) <= set(customers.column("id").to_pylist())
    assert orders.schema.field("amount").type == pa.decimal128(12, 2)
    for each in folder.rglob("*"):
        if each.is_file():
            assert RESTRICTED not in each.read_bytes()


def test_the_recipient_verifies_a_copy_offline(deployed, released, tmp_path):
    copy = tmp_path / "inbox"
    shutil.copytree(deployed.outbox / released["run"], copy)
    done = deployed.ringfort("transfer", "verify", str(copy), "--vkey", deployed.vkey(), "--json")
    assert done.returncode == 0, done.stdout
    found = shown(done)
    assert (found["ok"], found["index"], found["problems"]) == (True, released["index"], [])
    manifest = found["manifest"]
    assert manifest["entity"] == ENTITY
    assert {each["name"]: each["form"] for each in manifest["tables"][0]["columns"]}["born"] == "generalised"
    text = deployed.ringfort("transfer", "verify", str(copy), "--vkey", deployed.vkey()).stdout
    assert text.endswith("the release verifies\n")


def test_the_ledger_holds_every_step_and_verifies(deployed, released):
    run_ = deployed.state().transfers[NAME].run(released["run"])
    assert (run_.status, run_.rows, run_.index) == ("published", 9_000, released["index"])
    contract = json.loads(deployed.blob(run_.contract))
    assert contract["assessment"] == "TIA-2026-014"
    assert deployed.blob(run_.manifest) == (deployed.outbox / released["run"] / "manifest.note").read_bytes()
    assert deployed.ringfort("ledger", "verify", "DIR").returncode == 0
    assert not list((deployed.folder / "state" / "transfers" / NAME).glob("2*"))


def test_worker_processes_release_the_same_bytes(deployed, released):
    other = shown(run(deployed, "--workers", "2", "--json"))
    assert digests(deployed.outbox / other["run"]) == digests(deployed.outbox / released["run"])


def test_preview_shows_forms_and_policies_and_no_value(deployed, released):
    done = deployed.ringfort("transfer", "preview", "DIR", NAME, "--json")
    assert done.returncode == 0, done.stdout
    found = shown(done)
    column = next(each for each in found["columns"] if each["column"] == "customers.born")
    assert (column["form"], column["permitted"]) == ("generalised", "generalised")
    assert column["policies"] == ["analysts-see-quasi-identifiers-generalised"]
    assert (found["rows"], found["against"]) == ({"customers": 3_000, "orders": 6_000}, [])
    text = deployed.ringfort("transfer", "preview", "DIR", NAME, check=True).stdout
    assert "Article 46(2)(c) or (d)" in text
    assert "nothing stands against a run" in text


def test_a_dry_run_does_everything_and_releases_nothing(deployed, released):
    before = (deployed.releases(), deployed.state().size)
    done = deployed.ringfort("transfer", "preview", "DIR", NAME, "--dry-run", "--json")
    assert done.returncode == 0, done.stdout
    assert shown(done)["dry_run"] is True
    assert (deployed.releases(), deployed.state().size) == before
    assert not (deployed.folder / "state" / "transfers" / NAME / "trial").exists()


def test_list_tells_what_is_due_used_and_to_be_deleted(deployed, released):
    found = shown(deployed.ringfort("transfer", "list", "DIR", "--json"))["transfers"][0]
    assert (found["transfer"], found["approval"], found["overdue"]) == (NAME, "approved by ronan", [])
    assert found["used_rows"] >= 9_000
    text = deployed.ringfort("transfer", "list", "DIR").stdout
    assert "to be deleted by" in text
    arguments = ("transfer", "deleted", "DIR", NAME, released["run"], "--reference")
    refused(deployed.ringfort(*arguments, "jo@example.com"), 2, "look like an e-mail address")
    assert deployed.ringfort(*arguments, "DEL-2027-003").returncode == 0
    refused(deployed.ringfort(*arguments, "DEL-2027-004"), 2, "confirmed already")
    assert "deleted (DEL-2027-003)" in deployed.ringfort("transfer", "list", "DIR").stdout


def test_a_run_that_cannot_be_published_goes_on_later_or_is_given_up(contract, released, tmp_path):
    outside = tmp_path / "outside"
    contract.write(CONTRACT, ('address = "outbox"', f'address = "{outside}"'))
    approve(contract)
    outside.write_bytes(b"a file in the way")
    refused(run(contract), 1, "no folder, or a link")
    outside.unlink()
    found = shown(run(contract, "--json"))
    assert (outside / found["run"]).is_dir()
    nothing = contract.ringfort("transfer", "abandon", "DIR", NAME)
    assert (nothing.returncode, nothing.stdout) == (0, f"no run of {NAME} was cut off\n")


def test_csv_leaves_as_text(contract):
    contract.write(CONTRACT, ('schedule = "on-demand"', 'schedule = "on-demand"\nformat = "csv"'))
    approve(contract)
    found = shown(run(contract, "--json"))
    folder = contract.outbox / found["run"]
    lines = (folder / "customers" / "part-00000.csv").read_text().splitlines()
    assert lines[0] == '"id","name","born","country","note"'
    assert len(lines) == 3_001
    assert len(lines[1].split(",")[0].strip('"')) == 36
    assert contract.ringfort("transfer", "verify", str(folder), "--vkey", contract.vkey()).returncode == 0


# -- sealed ------------------------------------------------------------------------------------------------


def key_pair(path):
    private = X25519PrivateKey.generate()
    path.write_bytes(base64.b64encode(private.private_bytes_raw()) + b"\n")
    path.chmod(0o600)
    return base64.b64encode(private.public_key().public_bytes_raw()).decode()


def test_a_sealed_release_opens_with_both_keys_and_with_neither_alone(contract, tmp_path):
    recipient, overseer, stranger = (tmp_path / each for each in ("recipient", "overseer", "stranger"))
    keys = [key_pair(each) for each in (recipient, overseer, stranger)]
    made = contract.ringfort("transfer", "key", str(tmp_path / "signing"), "--name", "overseer.example")
    assert made.returncode == 0, made.stderr
    overseer_vkey = made.stdout.split("vkey ")[1].split()[0]
    contract.write(CONTRACT + f'\n[seal]\nrecipient = "{keys[0]}"\noverseer = "{keys[1]}"\n')
    approve(contract)
    found = shown(run(contract, "--json"))
    folder = contract.outbox / found["run"]
    assert all(
        each.name.endswith((".sealed", "manifest.note", ".tlog-proof")) for each in folder.rglob("*.*")
    )
    vkey = contract.vkey()
    assert contract.ringfort("transfer", "verify", str(folder), "--vkey", vkey).returncode == 0

    opened = tmp_path / "opened"
    unseal = (
        *("transfer", "open", str(folder), "--vkey", vkey, "--key", str(recipient)),
        *("--overseer", overseer_vkey, "--to", str(opened)),
    )
    refused(contract.ringfort(*unseal), 1, "cosignature")
    sign = ("transfer", "cosign", str(folder), "--vkey", vkey, "--signing-key", str(tmp_path / "signing"))
    refused(contract.ringfort(*sign, "--key", str(stranger)), 1, "not the key of the overseer")
    done = contract.ringfort(*sign, "--key", str(overseer))
    assert done.returncode == 0, done.stderr
    assert (folder / "cosignature.note").exists()
    wrong = [str(stranger) if each == str(recipient) else each for each in unseal]
    refused(contract.ringfort(*wrong), 1, "not the key of the recipient")
    done = contract.ringfort(*unseal)
    assert done.returncode == 0, done.stderr
    assert pq.read_table(opened / "customers").num_rows == 3_000
    assert pq.read_table(opened / "orders").num_rows == 6_000
    check_cosignatures(contract, folder, vkey, overseer_vkey, tmp_path)


def test_keys_that_nobody_can_hold_are_refused_before_anything_is_done(contract, tmp_path):
    sound = key_pair(tmp_path / "recipient")
    nobodys, before = base64.b64encode(bytes(32)).decode(), contract.releases()
    contract.write(CONTRACT + f'\n[seal]\nrecipient = "{sound}"\noverseer = "{nobodys}"\n')
    for command in (
        ("preview", str(contract.folder), NAME),
        ("approve", str(contract.folder), NAME, "--as", "ronan", "--password-stdin"),
        ("run", str(contract.folder), NAME),
    ):
        refused(contract.ringfort("transfer", *command, stdin=PASSWORD), 2, f"{NAME}.toml:")
        refused(contract.ringfort("transfer", *command, stdin=PASSWORD), 2, "`seal.overseer` is no X25519")
    assert contract.releases() == before
    nobody = VerifierKey("overseer.example", 1, bytes(32)).text
    verify = ("transfer", "verify", str(tmp_path), "--vkey", contract.vkey(), "--overseer", nobody)
    refused(contract.ringfort(*verify), 2, "nobody can hold")


def check_cosignatures(contract, folder, vkey, overseer_vkey, tmp_path):
    """A file of that name is looked into: by form without a key, by signature with the overseer's."""
    path = folder / "cosignature.note"
    sound = path.read_bytes()
    verify = ("transfer", "verify", str(folder), "--vkey", vkey)
    by_key = (*verify, "--overseer", overseer_vkey)
    done = contract.ringfort(*verify)
    assert done.returncode == 0
    assert "not verified: `cosignature.note`, signed by `overseer.example` as it says" in done.stdout
    done = contract.ringfort(*by_key, "--json")
    assert done.returncode == 0
    assert not any("cosignature" in each for each in json.loads(done.stdout)["not_verified"])

    made = contract.ringfort("transfer", "key", str(tmp_path / "other"), "--name", "overseer.example")
    other = made.stdout.split("vkey ")[1].split()[0]
    done = contract.ringfort(*verify, "--overseer", other)
    assert done.returncode == 1
    assert "violation: `cosignature.note` is not signed by a known key" in done.stdout

    signer = read_signing_key(tmp_path / "other")
    text, _, signatures = sound.decode().partition("\n\n")
    elsewhere = text.replace('"index":', '"index":9')
    for form, changed in {
        "nothing": b"",
        "any file": b"hello\n",
        "the manifest": (folder / "manifest.note").read_bytes(),
        "cut short": sound[:-20],
        "another index": f"{elsewhere}\n\n{signatures}".encode(),
        "another index, signed": sign_note(f"{elsewhere}\n", [signer]),
        "another format": sign_note("ringfort-transfer-cosignature/2\n{}\n", [signer]),
        "more in it": sign_note(text.replace('{"index"', '{"a":1,"index"') + "\n", [signer]),
    }.items():
        path.write_bytes(changed)
        for command in (verify, by_key):
            done = contract.ringfort(*command)
            assert done.returncode == 1, (form, done.stdout)
            assert "violation: `cosignature.note`" in done.stdout, (form, done.stdout)
    path.write_bytes(sign_note(f"{text}\n", [signer]))
    assert contract.ringfort(*verify).returncode == 0  # of this release, by whom is not known
    assert contract.ringfort(*by_key).returncode == 1
    path.write_bytes(sound)


# -- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "code", "word"),
    [
        ('born = "generalised"', 'born = "raw"', 1, "policy gives generalised"),
        ('note = "raw"', 'note = "raw"\nemail = "pseudonym"', 1, "policy gives hidden"),
        ('note = "raw"', 'note = "raw"\nshoe = "raw"', 1, "no catalogued column `shoe`"),
        ('note = "raw"', 'note = "masked"', 1, "cannot be sent as masked"),
        ('name = "pseudonym"', 'name = { form = "pseudonym", method = "ff1" }', 1, "no such pseudonyms"),
        ('owner = "olga"', 'owner = "nobody"', 1, "owner `nobody` is not registered"),
        ('principal = "acme"', 'principal = "nobody"', 2, "recipient `nobody` is not registered"),
        ('approver = "ronan"', 'approver = "acme"', 1, "names `acme` as its approver"),
        ('dataset = "shop"', 'dataset = "other"', 2, "no dataset `other`"),
        ('schedule = "on-demand"', 'schedule = "hourly"', 2, f"{NAME}.toml:5: `schedule`"),
    ],
)
def test_a_contract_that_gives_too_much_is_not_even_approved(contract, old, new, code, word):
    contract.write(CONTRACT, (old, new))
    refused(approve(contract), code, word)
    done = run(contract)
    assert done.returncode in {1, 2}
    assert "Traceback" not in done.stderr


def test_preview_says_that_recipients_can_be_joined_by_position(contract):
    assert "position" not in contract.ringfort("transfer", "preview", "DIR", NAME).stdout
    settings = contract.folder / "policy" / "policy.toml"
    before = settings.read_text()
    settings.write_text(before.replace("accept_stored_order = []", 'accept_stored_order = ["shop"]'))
    contract.ringfort("policy", "apply", "DIR", check=True)
    done = contract.ringfort("transfer", "preview", "DIR", NAME)
    settings.write_text(before)
    contract.ringfort("policy", "apply", "DIR", check=True)
    assert "what the gateway shows can be joined by position" in done.stdout


def test_a_contract_that_changed_since_its_approval_does_not_run(contract, released):
    before = contract.releases()
    assert approve(contract).returncode == 0
    contract.write(CONTRACT, ('retention = "90d"', 'retention = "91d"'))
    refused(run(contract), 1, "has changed since it was approved")
    done = contract.ringfort("transfer", "preview", "DIR", NAME)
    assert done.returncode == 1
    assert "against it: the contract" in done.stdout
    assert contract.releases() == before


def test_only_the_named_approver_approves_with_their_password(contract):
    refused(approve(contract, "olga"), 1, "names `ronan` as its approver")
    refused(approve(contract, password="wrong horse"), 1, "not the password")
    contract.write(
        CONTRACT, ('approver = "ronan"', 'approver = "olga"'), ('owner = "olga"', 'owner = "ronan"')
    )
    refused(approve(contract, "olga"), 1, "policy does not permit `olga` to approve")


def test_an_approval_that_is_withdrawn_stops_the_next_run(contract):
    assert approve(contract).returncode == 0
    arguments = ("transfer", "withdraw", "DIR", NAME, "--password-stdin", "--as")
    refused(contract.ringfort(*arguments, "acme", stdin=f"{PASSWORD}\n"), 1, "neither approver nor owner")
    assert contract.ringfort(*arguments, "olga", stdin=f"{PASSWORD}\n").returncode == 0
    refused(run(contract), 1, "is not approved")


def test_a_cap_and_a_schedule_hold(contract, released):
    contract.write(CONTRACT, ("rows = 10_000_000", "rows = 9_000"))
    approve(contract)
    refused(run(contract), 1, "cap of `us-analytics` is used up")
    contract.write(CONTRACT, ("rows = 10_000_000", "rows = 8_999"), ('per = "year"', 'per = "run"'))
    approve(contract)
    refused(run(contract), 1, "9,000 rows would leave, of the cap of 8,999 rows 8,999 are left")
    assert contract.state().transfers[NAME].runs[-1].outcome == "volume"
    contract.write(CONTRACT, ('schedule = "on-demand"', 'schedule = "monthly"'))
    approve(contract)
    refused(run(contract), 2, "is not due before")
    contract.write(CONTRACT, ('schedule = "on-demand"', 'schedule = "once"'))
    approve(contract)
    refused(run(contract), 2, "was to be made once")


@pytest.mark.parametrize("name", ["../secrets", "a/b", "UPPER", "", ".", "none"])
def test_a_name_leads_nowhere_else(deployed, name):
    for command in ("run", "preview"):
        done = deployed.ringfort("transfer", command, "DIR", name)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--engine", "spark"), "no engine `spark`"),
        (("--engine", "dask"), "needs the scheduler"),
        (("--scheduler", "tcp://127.0.0.1:1"), "goes with the engine"),
        (("--engine", "dask", "--scheduler", "tcp://10.0.0.1:8786"), "not reached over TLS"),
        (("--engine", "dask", "--scheduler", "http://x"), "not valid"),
        (("--workers", "100000"), "number of workers"),
    ],
)
def test_a_runner_that_there_is_not_is_refused(deployed, options, word):
    refused(run(deployed, *options), 2, word)


def test_verify_refuses_what_is_no_release_and_another_key(deployed, released, tmp_path):
    folder = str(deployed.outbox / released["run"])
    refused(deployed.ringfort("transfer", "verify", folder, "--vkey", "nonsense"), 2, "not a verifier key")
    other = "x.example/y+2ec077d3+AbqFwK/HZDQJGEMFe+sXa+Vvy6L7uvmyJmzCjdshXnHH"
    refused(deployed.ringfort("transfer", "verify", folder, "--vkey", other), 2, "verifier key")
    refused(
        deployed.ringfort("transfer", "verify", str(tmp_path / "no"), "--vkey", deployed.vkey()),
        2,
        "no folder",
    )
    done = deployed.ringfort("transfer", "verify", str(tmp_path), "--vkey", deployed.vkey())
    assert (done.returncode, "holds no `manifest.note`" in done.stdout) == (1, True)

"""What must not leave does not: findings, canaries, small groups; and nothing tells the value."""

import json
import stat
from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.transfer_deployment import CONTRACT, NAME, PASSWORD, make, shown

from ringfort.ledger.domains import IN_FORCE
from ringfort.privacy.methods import pseudonymise
from ringfort.privacy.pseudonym import Domain
from ringfort.record.client import open_ledger
from ringfort.sites.domains import DomainStore
from ringfort.transfer.measures import released_figures
from ringfort.transfer.run import TransferStoppedError, run_transfer
from ringfort.transfer.runners import InProcess

MARKERS = ("mark.er-9@example.org", "person k 218", "quillfeather")


@pytest.fixture
def deployed(tmp_path):
    return make(tmp_path / "shop", rows=400).approve()


def rewrite(deployed, column, change):
    """Change a column of the second file of customers."""
    path = deployed.folder / "data" / "customers" / "b.parquet"
    table = pq.read_table(path)
    values = change(table[column].to_pylist())
    place = table.schema.get_field_index(column)
    pq.write_table(table.set_column(place, column, pa.array(values, table[column].type)), path)


def noted(deployed, *texts):
    rewrite(deployed, "note", lambda notes: [*texts, *notes[len(texts) :]])


def stopped(deployed):
    """The findings that stopped a run; what was told and kept is looked through for the markers."""
    before = deployed.releases()
    with pytest.raises(TransferStoppedError) as error:
        run_transfer(deployed.config, NAME, InProcess())
    assert deployed.releases() == before
    run = deployed.state().transfers[NAME].runs[-1]
    assert (run.status, run.outcome) == ("stopped", "inspection")
    files = [each for each in (deployed.folder / "state").rglob("*") if each.is_file()]
    told = [str(error.value), error.value.hint, repr(error.value.findings)]
    told += [each.read_bytes().decode("latin-1") for each in files]
    for text in told:
        assert not any(marker in text.lower() for marker in MARKERS)
    return {(each["table"], each["column"], each["kind"]): each["rows"] for each in error.value.findings}


def test_a_hit_stops_the_release_and_names_column_and_rows(deployed):
    noted(deployed, f"write to {MARKERS[0]}", f"see {MARKERS[1].upper()}, again", "gold")
    found = stopped(deployed)
    assert found == {("customers", "note", "email"): 1, ("customers", "note", "known_name"): 1}
    done = deployed.ringfort("transfer", "run", "DIR", NAME)
    assert done.returncode == 1
    assert "column `customers.note` holds email in 1 rows" in done.stderr
    assert not any(marker in done.stderr.lower() for marker in MARKERS)
    # what is corrected may leave
    noted(deployed, "gold", "silver")
    run_transfer(deployed.config, NAME, InProcess())
    assert len(deployed.releases()) == 1


def test_what_the_contract_tolerates_may_leave_and_nothing_else(deployed):
    noted(deployed, f"write to {MARKERS[0]}")
    allowed = 'note = { form = "raw", allow = ["email"] }'
    deployed.write(CONTRACT, ('note = "raw"', allowed)).approve()
    run_transfer(deployed.config, NAME, InProcess())
    rewrite(deployed, "note", lambda notes: ["person255@example.org", *notes[1:]])
    with pytest.raises(TransferStoppedError) as error:
        run_transfer(deployed.config, NAME, InProcess())
    assert [each["kind"] for each in error.value.findings] == ["known_email"]
    deployed.write(CONTRACT, ('note = "raw"', 'note = { form = "raw", allow = ["canary"] }'))
    done = deployed.ringfort("transfer", "preview", "DIR", NAME)
    assert "inspection finds no `canary`" in done.stdout + done.stderr


def test_a_dry_run_says_what_a_run_would(deployed):
    noted(deployed, f"write to {MARKERS[0]}")
    done = shown(deployed.ringfort("transfer", "preview", "DIR", NAME, "--dry-run", "--json"))
    assert done["findings"] == [{"table": "customers", "column": "note", "kind": "email", "rows": 1}]
    assert not list((deployed.folder / "state" / "transfers" / NAME / "kept").glob("measured-*"))
    assert MARKERS[0] not in json.dumps(done)


def test_canaries_are_found_in_any_column_and_never_tolerated(deployed):
    line = ("canary", "new", "DIR", "--json", "--note", "in notes", *(given := deployed.leave("canary")))
    canary = shown(deployed.ringfort(*line, stdin=f"{PASSWORD}\n", check=True))
    listed = shown(deployed.ringfort("canary", "list", "DIR", "--json", check=True))["canaries"]
    assert [(each["id"], each["note"]) for each in listed] == [(canary["id"], "in notes")]
    assert canary["email"] not in json.dumps(listed)
    for path in (deployed.folder / "secrets" / "canaries").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert canary["code"].encode() not in path.read_bytes()
    for text in (f"<{canary['email'].upper()}>", canary["code"].replace("-", " ")):
        noted(deployed, text)
        assert stopped(deployed)["customers", "note", "canary"] == 1
    line = ("canary", "remove", "DIR", canary["id"], *given)
    deployed.ringfort(*line, stdin=f"{PASSWORD}\n", check=True)
    noted(deployed, canary["code"])
    run_transfer(deployed.config, NAME, InProcess())


def test_a_canary_row_in_the_pseudonyms_of_another_recipient(deployed):
    """A planted row leaves as this recipient's pseudonym, but what was made for another does not."""
    line = ("canary", "new", "DIR", "--subject", "77", *deployed.leave("canary"))
    deployed.ringfort(*line, stdin=f"{PASSWORD}\n", check=True)
    run_transfer(deployed.config, NAME, InProcess())
    with open_ledger(deployed.folder) as ledger:
        domains = DomainStore.of(deployed.config)
        other = domains.ensure(ledger, "Far Ltd", "something-else")
        state = ledger.state.copy()
    assert state.pseudonymisation["Far Ltd", "something-else"].epochs[0].status == IN_FORCE
    foreign = pseudonymise(
        pa.array([77]), method="cmac", kind="key", secret=domains.secret(other, state),
        domain=Domain("Far Ltd", "something-else", other.epoch), identity_space="shop.customers.id",
    )[0].as_py()  # fmt: skip
    noted(deployed, foreign.hex())
    assert stopped(deployed) == {("customers", "note", "canary"): 1}


def test_a_small_group_stops_a_release_where_the_contract_says_so(deployed):
    figures = [
        (
            "[table.customers.column]",
            '[table.customers]\nquasi_identifiers = ["born", "country"]\n\n[table.customers.column]',
        )
    ]
    text = CONTRACT.replace("[volume]", "[measures]\nsmallest_group = 50\n\n[volume]")
    deployed.write(text, *figures).approve()
    with pytest.raises(TransferStoppedError) as error:
        run_transfer(deployed.config, NAME, InProcess())
    assert "fewer people than the 50" in str(error.value)
    assert deployed.state().transfers[NAME].runs[-1].outcome == "measures"


def test_figures_are_sealed_and_link_with_what_the_recipient_has(deployed):
    first = run_transfer(deployed.config, NAME, InProcess())
    assert first.measures["tables"]["customers"]["seen_before"] == "none"
    second = run_transfer(deployed.config, NAME, InProcess())
    coarse = second.measures["tables"]["customers"]
    assert (coarse["seen_before"], coarse["linked_by_pseudonym"]) == ("20 % or more", True)
    exact = released_figures(deployed.config, NAME)
    assert (exact["run"], exact["tables"][0]["people"]) == (second.run, 400)
    assert exact["tables"][0]["linkage"][0]["common_people"] == 400
    assert released_figures(deployed.config, NAME, first.run)["tables"][0]["linkage"] == []
    for path in (deployed.folder / "state" / "ledger" / "blobs").rglob("*"):
        if path.is_file():
            assert b"common_people" not in path.read_bytes()
    shown_ = deployed.ringfort("transfer", "figures", "DIR", NAME, check=True).stdout
    assert json.loads(shown_) == exact
    assert "not a statement that data is anonymous" in shown_
    for path in (deployed.folder / "state" / "transfers" / NAME / "kept").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert b"Person" not in path.read_bytes()
    # what the recipient has deleted counts no more
    for run in (first.run, second.run):
        deployed.ringfort("transfer", "deleted", "DIR", NAME, run, "--reference", "T-1", check=True)
    third = run_transfer(deployed.config, NAME, InProcess())
    assert third.measures["tables"]["customers"]["seen_before"] == "none"


def test_csv_is_measured_and_inspected_alike(deployed):
    parquet = run_transfer(deployed.config, NAME, InProcess()).measures["tables"]
    deployed.write(CONTRACT, ('retention = "90d"', 'retention = "90d"\nformat = "csv"')).approve()
    again = run_transfer(deployed.config, NAME, InProcess()).measures["tables"]
    same = ("quasi_identifiers", "people_by", "smallest_group", "alone", "singled_out")
    assert {table: [each[name] for name in same] for table, each in again.items()} == {
        table: [each[name] for name in same] for table, each in parquet.items()
    }
    assert again["customers"]["linked_by_pseudonym"]
    noted(deployed, MARKERS[0])
    with pytest.raises(TransferStoppedError):
        run_transfer(deployed.config, NAME, InProcess())


def test_rows_without_a_subject_let_no_lone_person_pass(tmp_path):
    deployed = make(tmp_path / "shop", rows=30)
    text = CONTRACT.replace("[volume]", "[measures]\nsmallest_group = 3\n\n[volume]")
    text = text[: text.index("[table.customers.column]")] + text[text.index("[table.orders.column]") :]
    text = text.replace('customers = "data/customers", ', "")
    same, rare = datetime(2026, 1, 1), datetime(2019, 1, 1)  # noqa: DTZ001
    table = pa.table(
        {
            "customer_id": pa.array([1, 2, 3, 4, None, None, None], pa.int64()),
            "amount": pa.array([Decimal("1.00")] * 7, pa.decimal128(12, 2)),
            "at": [same, same, same, rare, rare, rare, rare],
        }
    )
    pq.write_table(table, deployed.folder / "data" / "orders.parquet")
    deployed.write(text).approve()
    with pytest.raises(TransferStoppedError, match="each row without a data subject's key is a group of one"):
        run_transfer(deployed.config, NAME, InProcess())
    pq.write_table(table.slice(0, 3), deployed.folder / "data" / "orders.parquet")
    assert run_transfer(deployed.config, NAME, InProcess()).rows == 3

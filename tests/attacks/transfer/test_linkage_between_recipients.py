"""Two companies join their files by what both are shown: they can as much as was measured, and warned of."""

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.transfer_deployment import CONTRACT, ENTITY, FILES, NAME, PASSWORD, make, shown, to_site

from ringfort.record.client import open_ledger
from ringfort.transfer.desk import TransferDesk, read_contract
from ringfort.transfer.linkage_figures import share
from ringfort.transfer.measures import released_figures
from ringfort.transfer.run import run_transfer
from ringfort.transfer.runners import InProcess

BETA = "beta-orders"
TO_BETA = (
    ('principal = "acme"', 'principal = "beta"'),
    (f'entity = "{ENTITY}"', 'entity = "Beta Ltd"'),
)
SIV = (('name = "pseudonym"', 'name = { form = "pseudonym", method = "siv" }'),)
COARSE = (('amount = "raw"', 'amount = "generalised"'),)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    made = make(tmp_path_factory.mktemp("linkage") / "shop", rows=600)
    done = made.ringfort(
        "principal", "add", "DIR", "beta", "--country", "US", "--employer", "Beta Ltd", "--role", "analyst",
        "--password-stdin", stdin=f"{PASSWORD}\n",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(autouse=True)
def _alone(deployed):
    """Nobody else has anything when a test begins."""
    yield
    state = deployed.state()
    for name in (BETA, NAME):
        if name in state.transfers and state.transfers[name].approved:
            withdraw(deployed, name)
    for name in (BETA, NAME):
        for run in state.transfers[name].runs if name in state.transfers else ():
            if run.manifest and not run.deleted:
                deployed.ringfort(
                    "transfer", "deleted", "DIR", name, run.id, "--reference", "T-1", check=True
                )


def withdraw(deployed, name):
    line = ("transfer", "withdraw", "DIR", name, "--as", "ronan", "--password-stdin")
    deployed.ringfort(*line, stdin=f"{PASSWORD}\n", check=True)


def write(deployed, name, *changes, text=CONTRACT):
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    (deployed.folder / "transfers" / f"{name}.toml").write_text(text)


def approve(deployed, name, *changes):
    write(deployed, name, *changes)
    with open_ledger(deployed.folder) as ledger:
        desk = TransferDesk(deployed.config, ledger, read_contract(deployed.folder, name))
        desk.now = lambda: datetime.now(UTC)
        desk.approve("ronan")


def release(deployed, name, *changes):
    approve(deployed, name, *changes)
    return run_transfer(deployed.config, name, InProcess())


def preview(deployed, *options, name=NAME):
    return shown(deployed.ringfort("transfer", "preview", "DIR", name, "--json", *options))


def rows_of(deployed, run, table):
    return pq.read_table(deployed.outbox / run / table).to_pylist()


def joined(mine, theirs, columns):
    """What the two companies do: the rows that a combination of values leads to, one to one."""
    counts = [Counter(tuple(row[each] for each in columns) for row in side) for side in (mine, theirs)]
    return sum(number == 1 and counts[1][values] == 1 for values, number in counts[0].items())


def joined_histories(mine, theirs, person, columns):
    """The pseudonyms whose rows, taken together, are those of one pseudonym of the other side."""
    sides = []
    for rows in (mine, theirs):
        held = defaultdict(Counter)
        for row in rows:
            held[row[person]][tuple(row[each] for each in columns)] += 1
        sides.append(Counter(frozenset(each.items()) for each in held.values()))
    return sum(number == 1 and sides[1][rows] == 1 for rows, number in sides[0].items())


def test_what_is_measured_is_what_two_companies_can_join(deployed):
    beta = release(deployed, BETA, *TO_BETA)
    acme = release(deployed, NAME)
    files = [[rows_of(deployed, each.run, "orders") for each in (acme, beta)]]
    files.append([rows_of(deployed, each.run, "customers") for each in (acme, beta)])
    assert not {row["customer_id"] for row in files[0][0]} & {row["customer_id"] for row in files[0][1]}
    exact = released_figures(deployed.config, NAME)["between_recipients"]["recipients"]
    assert len(exact) == 1
    tables = {each["table"]: each for each in exact[0]["tables"]}
    orders, customers = tables["orders"], tables["customers"]
    assert orders["columns"] == {"amount": "raw", "at": "generalised"}
    assert orders["all"]["rows"] == 1_200
    assert orders["linked"]["rows"] == joined(*files[0], ["amount", "at"]) > 1_000
    assert orders["alone"]["amount"]["rows"] == joined(*files[0], ["amount"])
    assert orders["alone"]["at"]["rows"] == joined(*files[0], ["at"]) == 0
    assert orders["smallest"] == ["amount"]
    assert customers["linked"]["rows"] == joined(*files[1], ["born", "country", "note"])
    # whoever has one row that leads over is known with all of them
    assert exact[0]["linked_people"] > 400
    histories = joined_histories(*files[0], "customer_id", ["amount", "at"])
    assert exact[0]["linked_by_history"] >= histories > 400
    # the record has classes only, and says nothing exact in the open
    coarse = acme.measures["between_recipients"]["recipients"][0]
    assert coarse["tables"]["orders"]["rows"] == share(orders["linked"]["rows"], 1_200) == "90 % or more"
    assert coarse["warning"] is True
    text = deployed.ringfort("transfer", "preview", "DIR", NAME).stdout
    assert "linkage with Beta Ltd (US, product-analytics) by transfer beta-orders, 1 release stands:" in text
    assert "by amount alone: 90 % or more" in text
    assert "warning: Beta Ltd (US, product-analytics) and this recipient can be joined" in text


def test_preview_measures_what_a_dry_run_and_a_run_do(deployed):
    approve(deployed, BETA, *TO_BETA)
    write(deployed, NAME)
    quick = preview(deployed)
    assert quick["between_recipients"]["recipients"][0]["holds"] == "approved"
    thorough = preview(deployed, "--dry-run")
    assert thorough["between_recipients"] == quick["between_recipients"]
    ran = release(deployed, NAME)
    assert ran.measures["between_recipients"] == json.loads(json.dumps(quick["between_recipients"]))
    assert not (deployed.folder / "state" / "transfers" / NAME / "trial").exists()
    assert not list((deployed.folder / "state" / "transfers").rglob("linkage"))


@pytest.mark.parametrize(
    ("mine", "theirs", "column", "form"),
    [
        ((), (), "amount", "raw"),
        (COARSE, (), "amount", "generalised"),
        ((), COARSE, "amount", "generalised"),
        ((('note = "raw"\n', ""),), (), "note", None),
        ((), (('note = "raw"\n', ""),), "note", None),
        ((('born = "generalised"', 'born = "raw"'),), (), "born", "generalised"),
        ((('born = "generalised"', 'born = "masked"'),), (), "born", "generalised"),
        (SIV, (), "name", None),
        (SIV, SIV, "name", "length"),
    ],
)
def test_columns_are_compared_in_the_coarser_form(deployed, mine, theirs, column, form):
    """A contract that is compared with need not be permitted."""
    write(deployed, NAME, *mine)
    write(deployed, "draft", *TO_BETA, *theirs)
    if any("born" in old for old, _ in mine):  # not permitted, so the other way round
        write(deployed, NAME)
        write(deployed, "draft", *TO_BETA, *mine)
    found = preview(deployed, "--compare", "draft")["between_recipients"]["recipients"]
    pair = next(each for each in found if each["transfer"] == "draft")
    columns = {}
    for table in pair["tables"].values():
        columns |= table["columns"]
    assert columns.get(column) == form


def test_what_is_coarse_in_each_row_still_links_people_by_all_their_rows(deployed):
    """No single order stands out by band and month; what somebody ordered in all does."""
    release(deployed, BETA, *TO_BETA, *COARSE)
    release(deployed, NAME, *COARSE)
    pair = released_figures(deployed.config, NAME)["between_recipients"]["recipients"][0]
    orders = next(each for each in pair["tables"] if each["table"] == "orders")
    assert orders["linked"]["rows"] < 60
    assert pair["linked_by_history"] > 200
    found = preview(deployed)["between_recipients"]["recipients"][0]
    assert found["warning"] is True
    assert found["people_by_history"] == share(pair["linked_by_history"], pair["people"])


def test_what_both_see_in_large_groups_only_is_no_warning(deployed):
    """Forms of a few values, and no key that says which rows are one person's."""
    few = (
        CONTRACT[: CONTRACT.index("[table.customers.column]")].replace(', orders = "data/orders.parquet"', "")
        + '[table.customers.column]\ncountry = "generalised"\nnote = "raw"\n'
    )
    write(deployed, NAME, text=few)
    write(deployed, "draft", *TO_BETA, text=few)
    pair = preview(deployed, "--compare", "draft")["between_recipients"]["recipients"][0]
    assert (pair["warning"], pair["tables"]["customers"]["rows"]) == (False, "none")
    text = deployed.ringfort("transfer", "preview", "DIR", NAME, "--compare", "draft").stdout
    assert "linkage with Beta Ltd" in text
    assert "warning" not in text


def test_who_counts_as_another_recipient(deployed):
    def others():
        found = preview(deployed)["between_recipients"]
        return [(each["transfer"], each["holds"]) for each in found.get("recipients", [])]

    write(deployed, NAME)
    assert others() == []
    assert "linkage" not in deployed.ringfort("transfer", "preview", "DIR", NAME).stdout
    run = release(deployed, BETA, *TO_BETA).run
    assert others() == [(BETA, "1 release stands")]
    # the approval is withdrawn, the release stays with the recipient
    withdraw(deployed, BETA)
    assert others() == [(BETA, "1 release stands")]
    deployed.ringfort("transfer", "deleted", "DIR", BETA, run, "--reference", "T-2", check=True)
    assert others() == []
    # another purpose of the same entity has other pseudonyms, so it is another recipient
    approve(deployed, BETA, ('purpose = "product-analytics"', 'purpose = "maintenance"'))
    assert others() == [(BETA, "approved")]
    # the same entity and purpose is the same recipient, whose pseudonyms are the same anyway
    approve(deployed, BETA)
    assert others() == []
    pair = preview(deployed, "--compare", BETA)["between_recipients"]["recipients"][0]
    assert pair["tables"]["customers"]["columns"]["id"] == "pseudonym"
    assert pair["tables"]["customers"]["rows"] == "90 % or more"
    # a contract that changed since: what was released was by the one on record
    release(deployed, BETA, *TO_BETA, *COARSE)
    write(deployed, BETA, *TO_BETA)
    found = preview(deployed)["between_recipients"]["recipients"]
    assert [each["tables"]["orders"]["columns"]["amount"] for each in found] == ["generalised"]


def test_rows_that_the_other_takes_from_its_own_files(deployed):
    """Of another year, say: what links is counted between the two sets of rows, not assumed."""
    orders = pq.read_table(deployed.folder / "data" / "orders.parquet")
    pq.write_table(orders.slice(0, 300), deployed.folder / "data" / "some.parquet")
    write(deployed, NAME)
    write(deployed, "draft", *TO_BETA, ("data/orders.parquet", "data/some.parquet"))
    pair = preview(deployed, "--compare", "draft")["between_recipients"]["recipients"][0]
    assert pair["tables"]["orders"]["rows"] == "20 to 50 %"
    others = orders.set_column(
        orders.schema.get_field_index("amount"), "amount", pa.nulls(orders.num_rows, pa.decimal128(12, 2))
    )
    pq.write_table(others, deployed.folder / "data" / "some.parquet")
    pair = preview(deployed, "--compare", "draft")["between_recipients"]["recipients"][0]
    assert pair["tables"]["orders"]["rows"] == "none"
    (deployed.folder / "data" / "some.parquet").unlink()
    found = preview(deployed, "--compare", "draft")["between_recipients"]
    assert found["recipients"] == []
    assert found["not_measured"][0].startswith("draft: ")


def test_what_cannot_be_compared_is_refused_by_name(deployed, tmp_path):
    write(deployed, NAME)
    for stated, word in (
        ("nobody", "there is no contract"),
        (str(tmp_path / "x.toml"), "there is no contract"),
    ):
        done = deployed.ringfort("transfer", "preview", "DIR", NAME, "--compare", stated)
        assert (done.returncode, word in done.stderr) == (2, True), done.stderr
    other = tmp_path / "other.toml"
    other.write_text(CONTRACT.replace('dataset = "shop"', 'dataset = "elsewhere"'))
    done = deployed.ringfort("transfer", "preview", "DIR", NAME, "--compare", str(other))
    assert (done.returncode, "of dataset `elsewhere`" in done.stderr) == (2, True), done.stderr
    other.write_text(CONTRACT)
    found = preview(deployed, "--compare", str(other))["between_recipients"]["recipients"]
    assert [each["transfer"] for each in found] == ["other"]


def test_a_site_is_read_by_the_rights_of_a_run_and_gives_the_same_figures(tmp_path, fresh_database):
    deployed = make(tmp_path / "shop", rows=300)
    write(deployed, NAME)
    write(deployed, "draft", *TO_BETA)
    files = preview(deployed, "--compare", "draft")["between_recipients"]
    to_site(deployed, fresh_database)
    for name, changes in ((NAME, ()), ("draft", TO_BETA)):
        write(deployed, name, (FILES, ""), *changes)
    assert preview(deployed, "--compare", "draft")["between_recipients"] == files
    assert preview(deployed, "--compare", "draft", "--dry-run")["between_recipients"] == files
    with psycopg.connect(fresh_database, autocommit=True) as admin:
        left = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'ringfort\\_transfer\\_%'"
        assert admin.execute(left).fetchone() == (0,)
        # rows that the reading role may not see are not left out in silence
        admin.execute("ALTER TABLE orders ENABLE ROW LEVEL SECURITY")
        admin.execute("ALTER TABLE orders FORCE ROW LEVEL SECURITY")
    found = preview(deployed, "--compare", "draft")
    assert found["between_recipients"]["recipients"] == []
    assert found["between_recipients"]["not_measured"][0].startswith("draft: ")
    assert found["columns"]
    text = deployed.ringfort("transfer", "preview", "DIR", NAME, "--compare", "draft").stdout
    assert "linkage not measured with draft: " in text
    assert not (deployed.folder / "state" / "transfers" / NAME / "trial").exists()

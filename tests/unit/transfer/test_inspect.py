"""What each form may hold, and that nothing is found where the contract is right."""

from importlib import resources
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.privacy.inspected import KEY

from ringfort.catalog.load import load_catalogue
from ringfort.catalog.model import Column, Dataset, Table
from ringfort.demo.population import generate
from ringfort.disclosure.forms_sql import rendering
from ringfort.errors import UsageError
from ringfort.policy.contract import ContractColumn, ContractTable
from ringfort.policy.forms import Form
from ringfort.privacy.epoch_keys import NEWEST, EpochSecret
from ringfort.privacy.fingerprint import FingerprintBuilder
from ringfort.privacy.inspection import InspectionPlan, InspectionResult, inspect_batch
from ringfort.privacy.methods import check
from ringfort.privacy.pseudonym import Domain
from ringfort.transfer.fingerprints import is_identifier
from ringfort.transfer.inspect import Inspection, findings, start_inspection
from ringfort.transfer.inspection_plan import TOLERABLE, column_rule
from ringfort.transfer.plan import PlannedColumn, PlannedTable, reduction_plan
from ringfort.transfer.reduce import reduce_batch

DOMAIN = Domain("Acme Analytics Inc", "product-analytics")
FORMS = [
    (Form.RAW, ""), (Form.MASKED, ""), (Form.GENERALISED, ""),
    (Form.PSEUDONYM, "cmac"), (Form.PSEUDONYM, "ff1"), (Form.PSEUDONYM, "siv"),
]  # fmt: skip


@pytest.fixture(scope="module")
def population():
    return generate(1_500, 7)


@pytest.fixture(scope="module")
def demo():
    with resources.as_file(resources.files("ringfort.demo").joinpath("catalog.toml")) as path:
        return load_catalogue(Path(path)).dataset("demo")


@pytest.fixture(scope="module")
def known(population, demo):
    builder = FingerprintBuilder(KEY)
    for table in demo.tables:
        for column in table.columns:
            if is_identifier(column):
                builder.add(column.kind, population[table.name][column.name])
    return builder.finish().fingerprints


def sent(column, form, method):
    """Whether a column can be sent so."""
    if form is Form.PSEUDONYM and method != "cmac":
        try:
            check(method, column.kind)
        except UsageError:
            return False
    return rendering(form, column.kind, column.data_type).form is form


def inspected(dataset, table, data, columns, known):
    """The findings in a table that is sent so."""
    planned = PlannedTable(
        ContractTable(table.name, columns), table,
        tuple(PlannedColumn(each, table.column(each.name)) for each in columns),
    )  # fmt: skip
    reduction = reduction_plan(planned, dataset, data.schema, DOMAIN, EpochSecret(bytes(32), NEWEST))
    rules = tuple(column_rule(each, table.column(each.name)) for each in columns)
    plan = InspectionPlan(f"{table.name} {columns}", KEY, rules, known)
    result = InspectionResult()
    for batch in data.select(reduction.names).combine_chunks().to_batches(max_chunksize=65_536):
        result = result.merge(inspect_batch(plan, reduce_batch(reduction, batch)))
    return {(each.column, each.kind) for each in result.findings()}


@pytest.mark.parametrize(("form", "method"), FORMS)
def test_nothing_is_found_in_the_population_where_the_contract_is_right(
    population, demo, known, form, method
):
    for table in demo.tables:
        columns = tuple(
            ContractColumn(each.name, form, method) for each in table.columns if sent(each, form, method)
        )
        if columns:
            found = inspected(demo, table, population[table.name], columns, known)
            # messages as they are hold what their writers wrote: that is what inspection is for
            written = {each for each in found if each[0] == "body" and form is Form.RAW}
            assert found == written, table.name
            if table.name == "messages" and form is Form.RAW:
                assert {("body", "email"), ("body", "phone"), ("body", "known_email")} <= written


def test_nothing_is_found_in_the_real_data_set(retail_parquet, known):
    data = pq.read_table(retail_parquet)
    data = data.slice(0, 150_000).cast(
        pa.schema(
            [
                pa.field(each.name, pa.timestamp("us")) if each.name == "InvoiceDate" else each
                for each in data.schema
            ]
        )
    )
    kinds = {
        "Description": ("text", "category"), "Quantity": ("integer", "number"), "InvoiceDate": (
            "timestamp without time zone", "timestamp"), "UnitPrice": ("double precision", "amount"),
        "CustomerID": ("double precision", "key"), "Country": ("text", "country"),
    }  # fmt: skip
    table = Table(
        "public", "retail", tuple(Column(name, type_, kind=kind) for name, (type_, kind) in kinds.items())
    )
    dataset = Dataset("retail", "retail", tables=(table,))
    raw = tuple(ContractColumn(name, Form.RAW) for name in kinds)
    assert inspected(dataset, table, data, raw, known) == set()
    reduced = (
        ContractColumn("CustomerID", Form.PSEUDONYM, "cmac"), ContractColumn("Country", Form.GENERALISED),
        ContractColumn("InvoiceDate", Form.GENERALISED), ContractColumn("Description", Form.RAW),
    )  # fmt: skip
    assert inspected(dataset, table, data, reduced, known) == set()


@pytest.mark.parametrize(
    ("stated", "kind", "data_type", "allowed", "opaque"),
    [
        (ContractColumn("c", Form.RAW), "phone", "text", {"phone", "known_phone", "national_id"}, False),
        (ContractColumn("c", Form.RAW), "free_text", "text", set(), False),
        (ContractColumn("c", Form.RAW, allow=("url", "canary")), "free_text", "text", {"url"}, False),
        (ContractColumn("c", Form.RAW), "key", "uuid", {"known_key"}, True),
        (ContractColumn("c", Form.MASKED), "email", "text", set(), False),
        (ContractColumn("c", Form.GENERALISED), "phone", "text", set(), False),
        (ContractColumn("c", Form.PSEUDONYM, "cmac"), "email", "text", set(), True),
        (ContractColumn("c", Form.PSEUDONYM, "siv"), "email", "text", set(), True),
        (
            ContractColumn("c", Form.PSEUDONYM, "ff1"),
            "card",
            "text",
            {"card", "known_card", "phone", "national_id"},
            False,
        ),
    ],
)
def test_what_a_form_may_hold(stated, kind, data_type, allowed, opaque):
    rule = column_rule(stated, Column("c", data_type, kind=kind))
    assert (rule.allowed, rule.opaque) == (allowed, opaque)


def test_canaries_cannot_be_tolerated():
    assert "canary" not in TOLERABLE
    assert {"url", "email", "known_name", "binary"} <= TOLERABLE


def test_parts_come_together_in_any_order():
    rule = column_rule(ContractColumn("c", Form.RAW), Column("c", "text", kind="category"))
    looks = []
    for values in (["a@example.org", "x"], ["y"], ["b@example.org"]):
        looking = start_inspection(Inspection("one", KEY, (rule,)))
        looking.look(pa.record_batch({"c": values}))
        looks.append(("customers", looking.result()))
    found = findings(looks)
    assert findings(looks[::-1]) == found
    assert [(each.table, each.column, each.kind, each.rows) for each in found] == [
        ("customers", "c", "email", 2)
    ]
    assert findings([("customers", start_inspection(None).result())]) == ()

"""`transfers/NAME.toml`: what is read, and that every fault is told with its line."""

from pathlib import Path

import pytest
from tests.transfer_deployment import CONTRACT, NAME

from ringfort.errors import ConfigurationError
from ringfort.policy.contract import Contract, ContractColumn, Seal
from ringfort.policy.contract_source import parse_contract
from ringfort.policy.forms import Form

PATH = Path(f"transfers/{NAME}.toml")
KEY_1 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
KEY_2 = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="


def parsed(*changes, path=PATH, more=""):
    text = CONTRACT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return parse_contract(text + more, path)[0]


def test_a_contract_is_read_with_its_defaults():
    contract = parsed()
    assert (contract.name, contract.output, contract.seal, contract.cap_bytes) == (NAME, "parquet", None, 0)
    assert contract.retention_days == 90
    assert contract.table("customers").column("id") == ContractColumn("id", Form.PSEUDONYM, "cmac")
    assert contract.table("customers").files == "data/customers"
    assert contract.table("nothing") is None
    assert contract.table("orders").column("id") is None


def test_columns_have_methods_and_what_they_may_hold():
    contract = parsed(
        ('name = "pseudonym"', 'name = { form = "pseudonym", method = "siv", allow = ["email", "phone"] }')
    )
    column = contract.table("customers").column("name")
    assert (column.form, column.method, column.allow) == (Form.PSEUDONYM, "siv", ("email", "phone"))


def test_canonical_json_comes_back_and_tells_contracts_apart():
    contract = parsed(more=f'\n[seal]\nrecipient = "{KEY_1}"\noverseer = "{KEY_2}"\n')
    assert contract.seal == Seal(KEY_1, KEY_2)
    assert Contract.from_json(contract.to_json()) == contract
    assert contract.digest != parsed().digest
    assert parsed(("# nothing", "")).digest if "# nothing" in CONTRACT else True
    assert parsed(('purpose = "product-analytics"', 'purpose    = "product-analytics" # why')).digest == (
        parsed().digest
    )


@pytest.mark.parametrize(
    "blob", [b"{}", b"[]", b"null", b"not json", b'{"format":"ringfort-transfer-contract/1"}']
)
def test_other_bytes_are_no_contract(blob):
    with pytest.raises(ValueError):
        Contract.from_json(blob)


def test_a_changed_byte_is_another_contract_or_none():
    blob = parsed().to_json()
    with pytest.raises(ValueError):
        Contract.from_json(blob + b" ")
    with pytest.raises(ValueError):
        Contract.from_json(blob.replace(b'"pseudonym"', b'"anonymous"'))


FAULTS = [
    ('dataset = "shop"', 'datset = "shop"', "unknown key `datset`"),
    ('owner = "olga"\n', "", "`owner` is missing"),
    ('schedule = "on-demand"', 'schedule = "hourly"', "not a word that is known"),
    ('retention = "90d"', 'retention = "3 months"', "not a number of days"),
    ('retention = "90d"', 'retention = "9999d"', "not a number of days"),
    ('mechanism = "standard-contractual-clauses"', 'mechanism = "privacy-shield"', "not a word"),
    ('assessment = "TIA-2026-014"\n', "", "needs a reference"),
    ('mechanism = "standard-contractual-clauses"', 'mechanism = "derogation"', "does not repeat"),
    ("rows = 10_000_000", "rows = 0", "at least 1"),
    ("rows = 10_000_000", "rows = true", "whole number"),
    ('per = "year"', 'per = "decade"', "not a word"),
    ('address = "outbox"', 'address = "../outbox"', "no folder to release to"),
    ('address = "outbox"', 'address = "a/../../outbox"', "no folder to release to"),
    ('address = "outbox"', 'address = "https://example.org/"', "no folder to release to"),
    ('address = "outbox"', 'address = "s3://B/prefix"', "no S3 address"),
    ('address = "outbox"', 'address = "s3://bucket/../other"', "no S3 address"),
    ('address = "outbox"', 'address = "s3://bucket/a"\nendpoint = "http://s3.example.org"', "over TLS"),
    ('address = "outbox"', 'address = "outbox"\nendpoint = "https://s3.example.org"', "no endpoint"),
    ('country = "US"', 'country = "USA"', "not valid"),
    ('id = "pseudonym"', 'id = "anonymous"', "not a word"),
    ('id = "pseudonym"', 'id = "hidden"', "not a word"),
    ('id = "pseudonym"', 'id = "aggregate"', "not a word"),
    ('born = "generalised"', 'born = { form = "generalised", method = "ff1" }', "has no method"),
    ('id = "pseudonym"', 'id = { form = "pseudonym", method = "ff3" }', "not a word"),
    ('id = "pseudonym"', 'id = { form = "pseudonym", secret = "x" }', "unknown key `secret`"),
    ('note = "raw"', 'note = { form = "raw", allow = "email" }', "list of texts"),
    ('note = "raw"', 'note = { form = "raw", allow = ["email", "email"] }', "twice"),
    ('country = "IE"\n', "", "go together"),
    ('customers = "data/customers", ', "", "every table"),
    ('customers = "data/customers"', 'others = "data/customers"', "other tables"),
    ('"data/customers"', '"/data/../etc"', "holds `..`"),
    ("[table.customers.column]", '[table.customers]\nquasi_identifiers = ["email"]\n[table.customers.column]',
     "does not leave"),
    ("[recipient]", f'[seal]\nrecipient = "{KEY_1}"\noverseer = "{KEY_1}"\n[recipient]', "the same key"),
    ("[recipient]", '[seal]\nrecipient = "short"\noverseer = "short"\n[recipient]', "no X25519 public key"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "word"), FAULTS)
def test_a_fault_is_told_with_file_and_line(old, new, word):
    with pytest.raises(ConfigurationError) as caught:
        parsed((old, new))
    assert word in caught.value.message
    assert caught.value.message.startswith(f"{PATH}:")
    assert caught.value.line > 0
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("name", ["Up.toml", ".toml", "a_b.toml", "-a.toml", "a.txt", f"{'a' * 64}.toml"])
def test_a_file_that_no_transfer_can_be_called_after_is_refused(name):
    with pytest.raises(ConfigurationError, match="name of a transfer"):
        parsed(path=Path("transfers") / name)


def test_a_derogation_that_does_not_repeat_is_read():
    contract = parsed(
        ('mechanism = "standard-contractual-clauses"', 'mechanism = "derogation"'),
        ('schedule = "on-demand"', 'schedule = "once"'),
    )
    assert contract.mechanism == "derogation"


def test_an_adequate_country_needs_no_assessment():
    contract = parsed(
        ('mechanism = "standard-contractual-clauses"', 'mechanism = "adequacy-decision"'),
        ('assessment = "TIA-2026-014"\n', ""),
    )
    assert contract.assessment == ""

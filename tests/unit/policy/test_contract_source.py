"""`transfers/NAME.toml`: what is read, and that every fault is told with its line."""

import base64
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


def spelled(key):
    return base64.b64encode(key).decode()


P = 2**255 - 19
NOBODYS = {
    "zero": (spelled(bytes(32)), "small order"),
    "one": (spelled(bytes([1, *bytes(31)])), "small order"),
    "order 8": ("4Ot6fDtBuK4WVuP68Z/EatoJjeucMrH9hmIFFl9JuAA=", "small order"),
    "p - 1": (spelled((P - 1).to_bytes(32, "little")), "small order"),
    "p, which is zero": (spelled(P.to_bytes(32, "little")), "small order"),
    "zero with its top bit": (spelled(bytes([*bytes(31), 0x80])), "small order"),
    "all ones": (spelled(b"\xff" * 32), "spelled"),
    "a key with its top bit": (spelled(bytes([*range(31), 0x9F])), "spelled"),
    "31 bytes": (spelled(bytes(range(31))), "32 bytes"),
    "33 bytes": (spelled(bytes(range(33))), "32 bytes"),
    "hexadecimal": (bytes(range(32)).hex(), "32 bytes"),
    "url-safe": (base64.urlsafe_b64encode(b"\xfb" * 31 + b"\x1f").decode(), "base64"),
    "without padding": (KEY_1.rstrip("="), "base64"),
    "bits that are not read": (KEY_1[:-2] + "9=", "base64"),
    "a verifier key": (f"overseer.example+01020304+{KEY_1}", "base64"),
    "PEM": ("-----BEGIN PUBLIC KEY-----", "base64"),
    "a word": ("short", "base64"),
}


@pytest.mark.parametrize("which", ["recipient", "overseer"])
@pytest.mark.parametrize("case", list(NOBODYS))
def test_a_seal_key_that_nobody_can_hold_is_told_by_its_line(case, which):
    key, says = NOBODYS[case]
    keys = {"recipient": KEY_1, "overseer": KEY_2} | {which: key}
    more = "".join(("\n[seal]\n", *(f'{name} = "{each}"\n' for name, each in keys.items())))
    with pytest.raises(ConfigurationError) as caught:
        parsed(more=more)
    line = 1 + (CONTRACT + more).splitlines().index(f'{which} = "{key}"')
    assert caught.value.message.startswith(f"{PATH}:{line}: `seal.{which}` is no X25519 public key")
    assert says in caught.value.message
    assert "ringfort transfer key" in caught.value.hint


def test_one_key_cannot_be_given_twice_in_two_spellings():
    top = base64.b64encode(bytes([*base64.b64decode(KEY_1)[:31], 0x9F])).decode()
    for keys in ((KEY_1, KEY_1), (KEY_1, top), (top, KEY_1)):
        with pytest.raises(ConfigurationError):
            parsed(more=f'\n[seal]\nrecipient = "{keys[0]}"\noverseer = "{keys[1]}"\n')


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

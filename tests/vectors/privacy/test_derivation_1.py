"""Derivation 1: what was released before derivation 2 is made, and led back, byte for byte as then.

`derivation_1.json` was written by the code of before (commit 567ee5f), over dirty values too; nothing in it
may ever change. `epochs_of_derivation_1.json` holds files of custody and entries that the same code wrote.
"""

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from ringfort.ledger import entry_control  # noqa: F401 - knows the types
from ringfort.ledger.entry import decode, encode
from ringfort.privacy import methods
from ringfort.privacy.domain_secrets import domain_secret, fingerprint_key
from ringfort.privacy.epoch_keys import derive_key, key_id
from ringfort.privacy.pseudonym import Domain

HERE = Path(__file__).parent
PINS = json.loads((HERE / "derivation_1.json").read_text(encoding="utf-8"))
EPOCHS = json.loads((HERE / "epochs_of_derivation_1.json").read_text(encoding="utf-8"))
ROOT, RANDOM = bytes.fromhex(PINS["root"]), bytes.fromhex(PINS["random"])
TYPES = {
    "number": pa.int64(),
    "decimal": pa.decimal128(20, 3),
    "float": pa.float64(),
    "text": pa.string(),
    "uuid": pa.binary(16),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "instant": pa.timestamp("us", "UTC"),
}
READ = {"decimal": Decimal, "float": float, "uuid": bytes.fromhex, "date": dt.date.fromisoformat}

of_domains = pytest.mark.parametrize("pins", PINS["domains"], ids=["plain", "odd"])


def domain_of(pins):
    return Domain(pins["recipient"], pins["purpose"], pins["epoch"])


def facts(pins):
    domain = domain_of(pins)
    secret = domain_secret(ROOT, RANDOM, domain, 1)
    return {"secret": secret, "domain": domain, "identity_space": pins["identity_space"]}


@of_domains
def test_secrets_ids_and_keys(pins):
    given = facts(pins)
    secret, domain = given["secret"], given["domain"]
    assert secret.value.hex() == pins["secret"]
    assert fingerprint_key(ROOT).hex() == PINS["fingerprint_key"]
    assert (domain.id, key_id(secret, domain)) == (pins["id"], pins["key_id"])
    for kind, key in pins["keys"].items():
        assert derive_key(secret, domain, pins["identity_space"], kind).hex() == key


@of_domains
@pytest.mark.parametrize("kind", PINS["domains"][0]["ff1"])
def test_formats(pins, kind):
    values, made = zip(*pins["ff1"][kind], strict=True)
    given = facts(pins) | {"method": "ff1", "kind": kind}
    assert methods.pseudonymise(pa.array(values), **given).to_pylist() == list(made)
    back = [None if new is None else old for old, new in zip(values, made, strict=True)]
    assert methods.resolve(pa.array(made), **given).to_pylist() == back


@of_domains
@pytest.mark.parametrize("kind", PINS["domains"][0]["cmac"])
def test_macs(pins, kind):
    read = READ.get(kind, lambda value: value)
    values = [None if each is None else read(each) for each, _ in pins["cmac"][kind]]
    got = methods.pseudonymise(pa.array(values, TYPES[kind]), method="cmac", kind="key", **facts(pins))
    assert [each and each.hex() for each in got.to_pylist()] == [each for _, each in pins["cmac"][kind]]


@of_domains
def test_text_under_siv(pins):
    values, made = zip(*pins["siv"], strict=True)
    given = facts(pins) | {"method": "siv", "kind": "name"}
    assert methods.pseudonymise(pa.array(values), **given).to_pylist() == list(made)
    assert methods.resolve(pa.array(made), **given).to_pylist() == list(values)


@pytest.mark.parametrize("name", EPOCHS)
def test_entries_of_then_keep_their_bytes(name):
    for each in ("opened", "rotated"):
        data = EPOCHS[name][each].encode()
        assert encode(decode(data)) == data

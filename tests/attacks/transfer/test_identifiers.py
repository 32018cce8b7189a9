"""Fingerprints of a site's direct identifiers: of all tables, made anew when they changed, no value kept."""

import stat

import psycopg
import pyarrow as pa
import pytest
from psycopg.conninfo import conninfo_to_dict
from tests.transfer_deployment import CONTRACT
from tests.unit.privacy.inspected import KEY

from ringfort.catalog.model import Catalogue, Column, Dataset, Table
from ringfort.config import load_config
from ringfort.errors import CheckFailedError, MissingEnvironmentError
from ringfort.paths import Layout, private_folder
from ringfort.policy.contract_source import load_contract
from ringfort.privacy.fingerprint_match import Matcher
from ringfort.transfer.fingerprints import IdentifierSource, kept_fingerprints
from ringfort.transfer.inspect import load_fingerprints


def direct(name, kind, data_type="text", **more):
    return Column(name, data_type, protection="restricted", identifiability="direct", kind=kind, **more)


@pytest.fixture
def source(tmp_path, fresh_database):
    """A contract about one table of a database in which two hold identifiers."""
    database = conninfo_to_dict(fresh_database)["dbname"]
    (tmp_path / "ringfort.toml").write_text(
        f'organisation = "Example"\n[site.s]\nkind = "external"\ncountry = "IE"\ndatabases = ["{database}"]\n'
    )
    (tmp_path / "transfers").mkdir()
    private_folder(tmp_path / "secrets")
    dsn = Layout(tmp_path).site_dsn("s")
    dsn.write_text(fresh_database)
    dsn.chmod(0o600)
    text = CONTRACT.replace('[source]\ncountry = "IE"\n', "")
    text = "\n".join(each for each in text.splitlines() if not each.startswith("files ="))
    path = tmp_path / "transfers" / "us-analytics.toml"
    path.write_text(text)
    contract, _ = load_contract(path)
    people = Table("app", "people", (
        direct("id", "key", "bigint"), direct("first", "name"), direct("last", "name"),
        direct("ref", "key", "uuid"), direct("ip", "ip_address", "inet"), Column("city", "text", kind="city"),
    ))  # fmt: skip
    letters = Table("app", "letters", (direct("sender", "email"), direct("person_id", "key", "bigint")))
    catalogue = Catalogue((Dataset("shop", database, tables=(people, letters)),))
    with psycopg.connect(fresh_database, autocommit=True) as admin:
        admin.execute("CREATE SCHEMA app")
        admin.execute(
            "CREATE TABLE app.people (id bigint, first text, last text, ref uuid, ip inet, city text)"
        )
        admin.execute("CREATE TABLE app.letters (sender text, person_id bigint)")
        admin.execute(
            "INSERT INTO app.people VALUES (12345678, 'Zoë', 'Quillfeather',"
            " 'a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf', '86.41.12.200', 'Cork'),"
            " (2, NULL, 'Alone', NULL, NULL, 'Bray')"
        )
        admin.execute("INSERT INTO app.letters VALUES ('zq@example.net', 1), (NULL, 2)")
        yield IdentifierSource(load_config(tmp_path), contract, catalogue, KEY), tmp_path / "kept", admin


def found(kept, *texts):
    prints = load_fingerprints(kept, KEY)
    rows = set()
    for each in Matcher(prints).texts(pa.array(texts)):
        rows |= set(each.rows[each.kinds >= 0].tolist())
    return sorted(rows)


def test_all_tables_of_the_dataset_are_read_and_read_anew_when_they_changed(source):
    given, folder, admin = source
    private_folder(folder)
    kept = kept_fingerprints(given, folder)
    texts = (
        "zoe quillfeather", "QUILLFEATHER, ZOE", "zq@example.net", "A0A1A2A3A4A5A6A7A8A9AAABACADAEAF",
        "alone", "12345678", "cork", "86.41.12.200",
    )  # fmt: skip
    assert found(kept, *texts) == [0, 1, 2, 3]
    path = folder / "identifiers"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    data = path.read_bytes()
    assert not any(each in data.lower() for each in (b"quillfeather", b"example.net"))
    assert kept_fingerprints(given, folder) == kept
    assert path.read_bytes() == data
    admin.execute("INSERT INTO app.letters VALUES ('new.one@example.net', 3)")
    again = kept_fingerprints(given, folder)
    assert again != kept
    assert found(again, "new.one@example.net", *texts) == [0, 1, 2, 3, 4]


def test_what_is_kept_is_checked(source):
    given, folder, admin = source
    private_folder(folder)
    kept = kept_fingerprints(given, folder)
    path = folder / "identifiers"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CheckFailedError):
        load_fingerprints(kept, KEY)
    assert kept_fingerprints(given, folder) == kept  # made anew
    assert path.read_bytes() == whole
    admin.execute("DROP TABLE app.letters")
    with pytest.raises((CheckFailedError, MissingEnvironmentError)) as error:
        kept_fingerprints(given, folder)
    assert "letters" not in str(error.value)

"""A whole transfer is stopped by a name in a note, however it is written and whenever the person came."""

import psycopg
import pytest
from tests.cli.test_transfer_places import FILES, site  # noqa: F401 - a fixture
from tests.transfer_deployment import CONTRACT, NAME, shown

WRITTEN = {
    "family name first": ("Quenby Quillfeather", "invoice of Quillfeather, Quenby"),
    "apostrophe": ("Mary O'Xavier", "for O\u2019XAVIER MARY, thanks"),
    "divided otherwise": ("Sean MacDonagh", "Mac Donagh Sean"),
    "umlaut": ("Jürgen Großmüller", "an Juergen Grossmueller"),
    "second surname": ("Gabriel Garzía Marquín", "Gabriel Garzia"),
    "Greek": ("Οδυσσεύς Παπαγιάννης", "ΠΑΠΑΓΙΑΝΝΗΣ ΟΔΥΣΣΕΥΣ"),
    "Maltese": ("Ġorġ Ħaxixa", "gorg haxixa"),
    "Arabic": ("أَحْمَد عبد الرحمٰن", "احـمد عبدالرحمن"),
    "Georgian": ("თინათინ ჯავახიშვილი", "ᲗᲘᲜᲐᲗᲘᲜ ᲯᲐᲕᲐᲮᲘᲨᲕᲘᲚᲘ"),
    "title": ("Dr. Mary Smithwick", "Smithwick, Mary"),
}


@pytest.mark.parametrize("way", WRITTEN)
def test_a_name_in_a_note_stops_the_run(site, fresh_database, way):  # noqa: F811
    name, text = WRITTEN[way]
    site.write(CONTRACT, (FILES, "")).approve()
    with psycopg.connect(fresh_database, autocommit=True) as admin:
        admin.execute("UPDATE customers SET name = %s WHERE id = 5", (name,))
        admin.execute("UPDATE customers SET note = %s WHERE id = 9", (text,))
    done = site.ringfort("transfer", "run", "DIR", NAME)
    assert done.returncode == 1, done.stderr
    assert "`customers.note` holds known_name in 1 rows" in done.stderr
    assert text not in done.stderr
    assert site.releases() == []


def test_what_is_prepared_is_brought_up_to_date_by_the_run(site, fresh_database):  # noqa: F811
    site.write(CONTRACT, (FILES, "")).approve()
    prepared = shown(site.ringfort("transfer", "prepare", "DIR", NAME, "--json", check=True))
    assert prepared["rows"] == 300
    left = site.folder / "state" / "transfers" / NAME / "kept" / ".identifiers.0123456789ab"
    left.write_bytes(b"by one that was killed")
    again = shown(site.ringfort("transfer", "prepare", "DIR", NAME, "--json", check=True))
    assert again == {"rows": 0, "fingerprints": prepared["fingerprints"]}
    assert not left.exists()
    with psycopg.connect(fresh_database, autocommit=True) as admin:
        admin.execute("UPDATE customers SET name = 'Quenby Quillfeather' WHERE id = 5")
        admin.execute("UPDATE customers SET note = 'ask quillfeather quenby' WHERE id = 9")
    done = site.ringfort("transfer", "run", "DIR", NAME)
    assert done.returncode == 1
    assert "known_name in 1 rows" in done.stderr
    with psycopg.connect(fresh_database, autocommit=True) as admin:
        admin.execute("UPDATE customers SET note = 'gold' WHERE id = 9")
    site.ringfort("transfer", "run", "DIR", NAME, check=True)
    assert len(site.releases()) == 1
    done = site.ringfort("transfer", "prepare", "DIR", NAME, check=True)
    assert "1 rows read" in done.stdout  # the note that changed: so little is not worth a new file


@pytest.mark.parametrize("columns", [("name",), ("fn", "ln"), ("x1", "x2", "x3")])
def test_a_name_that_nobody_classified_stops_the_run_too(site, fresh_database, columns):  # noqa: F811
    """Text beside direct identifiers that the catalogue does not classify is taken for a part of names."""
    catalogue = site.folder / "catalog.toml"
    text = catalogue.read_text()
    (line,) = [each for each in text.splitlines() if each.startswith("name = ")]
    unclassified = "".join(f'{each} = {{ type = "text" }}\n' for each in columns)
    catalogue.write_text(text.replace(f"{line}\n", unclassified))
    parts = "Quenby van Quillfeather".split(" ", len(columns) - 1)
    with psycopg.connect(fresh_database, autocommit=True) as admin:
        for each in set(columns) - {"name"}:
            admin.execute(f"ALTER TABLE customers ADD COLUMN {each} text")
        for each, part in zip(columns, parts, strict=True):
            admin.execute(f"UPDATE customers SET {each} = %s WHERE id = 5", (part,))
        if "name" not in columns:
            admin.execute("ALTER TABLE customers DROP COLUMN name")
        admin.execute("UPDATE customers SET note = 'Invoice for Quenby van Quillfeather' WHERE id = 9")
    site.ringfort("policy", "apply", "DIR", check=True)
    checked = site.ringfort("policy", "check", "DIR")
    assert all(f"`{each}`" in checked.stdout + checked.stderr for each in columns)
    site.write(CONTRACT, (FILES, ""), ('name = "pseudonym"\n', "")).approve()
    done = site.ringfort("transfer", "run", "DIR", NAME)
    assert done.returncode == 1, done.stderr
    assert "`customers.note` holds known_name in 1 rows" in done.stderr
    assert site.releases() == []

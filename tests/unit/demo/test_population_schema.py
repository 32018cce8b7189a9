"""The SQL, the Arrow schemas and the shipped catalogue say the same about the demo's tables."""

from importlib import resources

import pytest

from ringfort.catalog.load import parse_catalogue
from ringfort.demo.population import FOREIGN_KEYS, PRIMARY_KEYS, SCHEMAS, ddl, foreign_key_ddl, index_ddl
from ringfort.demo.population_schema import postgres_type


@pytest.fixture(scope="module")
def dataset():
    path = resources.files("ringfort.demo") / "catalog.toml"
    (dataset,) = parse_catalogue(path.read_text("utf-8"), path).datasets
    return dataset


def test_tables_are_defined_with_their_keys():
    statements = ddl()
    assert list(statements) == list(SCHEMAS)
    assert statements["views"].as_string() == (
        'CREATE TABLE "public"."views" (\n'
        '    "id" bigint NOT NULL,\n'
        '    "person_id" bigint NOT NULL,\n'
        '    "video_id" bigint NOT NULL,\n'
        '    "watched_at" timestamp with time zone NOT NULL,\n'
        '    "watch_seconds" integer NOT NULL,\n'
        '    "ip" text,\n'
        '    PRIMARY KEY ("id"),\n'
        '    FOREIGN KEY ("person_id") REFERENCES "public"."people" ("id"),\n'
        '    FOREIGN KEY ("video_id") REFERENCES "public"."videos" ("id")\n'
        ")"
    )
    assert '"amount" numeric(12,2) NOT NULL' in statements["payments"].as_string()


def test_foreign_keys_can_wait_until_the_rows_are_there():
    assert not any("FOREIGN KEY" in each.as_string() for each in ddl(foreign_keys=False).values())
    added = [each.as_string() for each in foreign_key_ddl("video")]
    assert added[0] == (
        'ALTER TABLE "video"."videos" ADD FOREIGN KEY ("person_id") REFERENCES "video"."people" ("id")'
    )
    assert len(added) == len(index_ddl()) == sum(map(len, FOREIGN_KEYS.values()))
    assert (
        index_ddl()[0].as_string() == 'CREATE INDEX "videos_person_id_idx" ON "public"."videos" ("person_id")'
    )


def test_tables_come_after_what_they_refer_to():
    seen = set()
    for table, keys in FOREIGN_KEYS.items():
        assert {key.references[0] for key in keys} <= seen
        seen.add(table)


def test_the_catalogue_has_every_column_as_it_is(dataset):
    assert dataset.database == "demo"
    assert dataset.subject == "people.id"
    assert {table.name: [c.name for c in table.columns] for table in dataset.tables} == {
        name: schema.names for name, schema in SCHEMAS.items()
    }
    for table in dataset.tables:
        assert table.primary_key == PRIMARY_KEYS[table.name]
        for column in table.columns:
            assert column.data_type == postgres_type(table.name, column.name)
            assert column.nullable == SCHEMAS[table.name].field(column.name).nullable
            assert column.classified
            assert column.unsure == ""


def test_the_catalogue_follows_the_foreign_keys(dataset):
    people = {("people", "id")}
    for table, keys in FOREIGN_KEYS.items():
        for key in keys:
            column = dataset.table(table).column(key.column)
            if (table, key.column) == ("videos", "person_id"):
                continue
            assert column.references == key.references
            if key.references == ("people", "id"):
                people.add((table, key.column))
    spaces = {
        (table.name, column.name)
        for table in dataset.tables
        for column in table.columns
        if column.identity_space == "demo.people.id"
    }
    assert spaces == people
    assert all(dataset.hops(table)[-1].target == "id" for table in dataset.tables if table.name != "people")


def test_public_videos_do_not_give_away_the_pseudonyms_of_their_uploaders(dataset):
    videos = dataset.table("videos")
    assert videos.column("title").protection == "public"
    assert videos.column("person_id").identity_space == "demo.videos.person_id"
    assert videos.column("person_id").references is None


def test_what_reaches_a_person_is_restricted(dataset):
    restricted = {
        (table.name, column.name)
        for table in dataset.tables
        for column in table.columns
        if column.protection == "restricted"
    }
    assert restricted == {
        *(("people", name) for name in ("name", "email", "phone", "address", "ip", "iban")),
        *(("views", "ip"), ("messages", "body"), ("payments", "card_last4"), ("payments", "iban")),
    }

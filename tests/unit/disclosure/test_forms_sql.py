"""Which rendering a column gets: the table, and that it never falls upwards."""

import pytest

from ringfort.catalog.model import KINDS
from ringfort.disclosure.forms_sql import (
    FUNCTIONS,
    UNPSEUDONYMISED,
    create_statements,
    pseudonym_type_of,
    rendering,
    type_class,
)
from ringfort.policy.forms import FORMS, Form
from ringfort.privacy.form_rules import VERSIONS

TYPES = [
    "text", "character varying(80)", "character(3)", "bigint", "smallint", "numeric(10,2)", "uuid", "inet",
    "double precision", "date", "timestamp(3) with time zone", "timestamp without time zone", "cidr",
    "boolean", "jsonb", "integer[]", "bytea", "public.mood",
]  # fmt: skip


def test_no_cell_reveals_more_than_policy_permits():
    for form in FORMS:
        for kind in KINDS | {"never heard of"}:
            for data_type in TYPES:
                got = rendering(form, kind, data_type)
                assert got.form.rank >= form.rank
                assert (got.form in {Form.MASKED, Form.GENERALISED}) == bool(got.function)
                if got.form is Form.PSEUDONYM:
                    assert form is Form.PSEUDONYM
                    assert pseudonym_type_of(data_type)


def test_raw_is_raw_and_what_nothing_renders_is_hidden():
    assert rendering(Form.RAW, "unknown", "public.mood").form is Form.RAW
    for form in (Form.AGGREGATE, Form.NOISY, Form.HIDDEN):
        assert rendering(form, "email", "text").form is Form.HIDDEN
    for kind in UNPSEUDONYMISED:
        assert rendering(Form.PSEUDONYM, kind, "text").form is Form.HIDDEN


@pytest.mark.parametrize(
    ("form", "kind", "data_type", "expected"),
    [
        (Form.MASKED, "country", "text", (Form.GENERALISED, "general_country_v1")),
        (Form.MASKED, "email", "character varying(99)", (Form.MASKED, "mask_email_v2")),
        (Form.MASKED, "name", "text", (Form.MASKED, "mask_name_v3")),
        (Form.GENERALISED, "name", "text", (Form.HIDDEN, "")),
        (Form.MASKED, "phone", "bigint", (Form.MASKED, "mask_phone_v2")),
        (Form.MASKED, "phone", "double precision", (Form.HIDDEN, "")),
        (Form.MASKED, "amount", "double precision", (Form.GENERALISED, "band_float_v2")),
        (Form.GENERALISED, "amount", "integer", (Form.GENERALISED, "band_numeric_v2")),
        (Form.GENERALISED, "birth_date", "date", (Form.GENERALISED, "born_date_v2")),
        (
            Form.GENERALISED,
            "timestamp",
            "timestamp with time zone",
            (Form.GENERALISED, "month_timestamptz_v2"),
        ),
        (Form.MASKED, "key", "integer", (Form.HIDDEN, "")),
        (Form.PSEUDONYM, "key", "boolean", (Form.HIDDEN, "")),
    ],
)
def test_the_table(form, kind, data_type, expected):
    got = rendering(form, kind, data_type)
    assert (got.form, got.function) == expected


def test_type_classes():
    assert type_class("character varying(80)") == "text"
    assert type_class("timestamp(3) with time zone") == "timestamptz"
    assert type_class("numeric(10,-2)") == "numeric"
    assert type_class("integer[]") == "other"
    assert type_class("character varying(80)[]") == "other"


def test_every_function_is_made_once():
    names = [each.name for each in FUNCTIONS]
    assert len(set(names)) == len(names) == len(create_statements())


def test_what_a_function_of_an_older_version_gave_is_not_touched():
    made = " ".join(each.as_string() for each in create_statements())
    assert '"mask_name_v3"' in made
    assert "mask_name_v1" not in made
    assert "mask_name_v2" not in made
    assert set(VERSIONS) <= {each.name.rpartition("_v")[0] for each in FUNCTIONS}

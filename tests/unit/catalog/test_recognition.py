"""What names of columns and tables say: kinds in words run together, keys, secrets, things, patients."""

from dataclasses import replace

import pytest

from ringfort.catalog.column_words import is_role, key_stem, kinds_of_name, shared_words, without
from ringfort.catalog.sample import sampled
from ringfort.catalog.scan import propose

PEOPLE = {"id": ("bigint", list(range(1, 201))), "email": ("text", [f"p{n}@example.ie" for n in range(200)])}


def empty(name, columns, **rest):
    """A table without rows, as a schema that was just made."""
    table = sampled(name, {each: (kind, []) for each, kind in columns.items()}, **rest)
    return replace(
        table, rows=-1, columns=tuple(replace(each, distinct=None, nulls=None) for each in table.columns)
    )


def proposed(*tables):
    return propose(list(tables), dataset="d", database="d").datasets[0]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("telefono2", "phone"),
        ("address14", "address"),
        ("apellido_2", "name"),
        ("telefonprivat", "phone"),
        ("lastip", "ip_address"),
        ("kontoinhaber", "name"),
        ("emailprivat", "email"),
        ("cifnif", "national_id"),
        ("vermerk3", "free_text"),
        ("dailyrate", "finance"),
        ("mdp", "secret"),
        ("two_factor_secret_key", "secret"),
        ("activation_key", "secret"),
    ],
)
def test_numbers_at_the_end_and_words_run_together_are_read(name, kind):
    assert kind in kinds_of_name(name)


@pytest.mark.parametrize(
    "name", ["zip", "ship", "description", "uskonto", "membership", "recargo", "subtotal"]
)
def test_other_words_that_hold_a_listed_one_are_not(name):
    assert not {"ip_address", "iban", "phone", "name", "email"} & set(kinds_of_name(name))


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("idcontacto", ("contacto",)),
        ("id_zona", ("zona",)),
        ("cod_cliente", ("cliente",)),
        ("fk_person", ("person",)),
        ("identidad", None),
        ("idioma", None),
        ("ideal_weight", None),
        ("idade", None),
    ],
)
def test_keys_are_known_by_their_beginning_too(name, stem):
    assert key_stem(name) == stem


@pytest.mark.parametrize(
    "name", ["post_author", "changed_by", "Absender", "mottagare", "wlasciciel", "approver"]
)
def test_who_somebody_is_to_a_record_is_a_key_or_a_name(name):
    assert is_role(name)
    made = proposed(
        sampled("people", PEOPLE, primary_key=("id",)),
        empty("notes", {"id": "bigint", name: "integer", "people_id": "bigint"}, primary_key=("id",)),
        empty("letters", {"id": "bigint", name: "text", "people_id": "bigint"}, primary_key=("id",)),
    )
    key = made.table("notes").column(name)
    assert (key.kind, key.identifiability) == ("key", "direct")
    text = made.table("letters").column(name)
    assert (text.kind, text.identifiability) == ("name", "direct")


@pytest.mark.parametrize(
    "name",
    [
        "private_key",
        "activation_key",
        "api_token_hash",
        "passwort",
        "mot_de_passe",
        "heslo",
        "salasana",
        "secret_answer",
    ],
)
@pytest.mark.parametrize("data_type", ["text", "uuid", "bigint"])
def test_a_secret_is_hidden_whatever_it_ends_in(name, data_type):
    made = proposed(empty("accounts", {"id": "bigint", name: data_type}, primary_key=("id",)))
    assert made.table("accounts").column(name).protection is None


def test_words_that_most_columns_share_say_nothing_but_what_reaches_people_stays():
    names = ["comment_id", "comment_author", "comment_approved", "comment_date", "user_id"]
    shared = shared_words(names)
    assert shared == {"comment"}
    assert without("comment_approved", shared) == "approved"
    assert shared_words(["hiv_result", "hiv_date"]) == frozenset()
    made = proposed(
        sampled("people", PEOPLE, primary_key=("id",)),
        empty(
            "tests",
            dict.fromkeys(("hiv_result", "hiv_kit", "hiv_place", "hiv_note"), "text")
            | {"people_id": "bigint"},
        ),
        empty(
            "mails",
            dict.fromkeys(("email_a", "email_b", "email_c", "email_d"), "text") | {"people_id": "bigint"},
        ),
    )
    for each in ("hiv_result", "hiv_kit", "hiv_place", "hiv_note"):
        assert made.table("tests").column(each).protection in {"restricted", None}
    for each in ("email_a", "email_d"):
        assert made.table("mails").column(each).identifiability == "direct"


@pytest.mark.parametrize(
    "table",
    ["product_categories", "genre", "Sprachen", "unidades", "Steuersätze", "taxes", "marque", "currencies"],
)
def test_labels_and_numbers_of_tables_of_things_are_harmless(table):
    columns = {"id": "bigint", "name": "text", "short_label": "text", "weight": "numeric",
               "visible": "boolean", "updated_at": "date", "note": "text", "xyz": "text"}  # fmt: skip
    made = proposed(
        sampled("people", PEOPLE, primary_key=("id",)), empty(table, columns, primary_key=("id",))
    )
    own = made.table(table)
    for each in ("name", "short_label", "weight", "updated_at", "visible"):
        assert (own.column(each).protection, own.column(each).identifiability) == ("interoperable", "none"), (
            each
        )
    assert own.column("note").protection == "restricted"
    assert own.column("xyz").protection is None


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("category", {"customer": "text"}),
        ("category", {"people_id": "bigint"}),
        ("products", {"author": "text"}),
        ("zork", {}),
        ("employee_categories", {}),
        ("diagnosis_categories", {}),
    ],
)
def test_a_table_of_things_that_names_somebody_or_leads_to_them_is_none(table, columns):
    own = {
        "id": "bigint",
        "name": "text",
        "weight": "numeric",
        "updated_at": "timestamp with time zone",
        **columns,
    }
    made = proposed(sampled("people", PEOPLE, primary_key=("id",)), empty(table, own, primary_key=("id",)))
    for each in ("name", "weight", "updated_at"):
        column = made.table(table).column(each)
        assert column.protection not in {"interoperable", "public"}, each


def test_names_of_people_in_a_table_of_things_stay_hidden():
    people = [
        f"{given} Q{chr(97 + n % 26)}{chr(97 + n // 26)}"
        for n, given in enumerate(["Mary", "John", "Anna", "Peter"] * 50)
    ]
    things = {"id": ("bigint", list(range(200))), "name": ("text", people)}
    made = proposed(
        sampled("people", PEOPLE, primary_key=("id",)), sampled("tags", things, primary_key=("id",))
    )
    assert made.table("tags").column("name").identifiability == "direct"


@pytest.mark.parametrize("patients", ["patients", "Patienten", "pazienti", "pacjenci", "пациенты"])
def test_where_people_are_patients_generic_words_are_about_their_health(patients):
    made = proposed(
        empty(patients, {"id": "bigint", "name": "text"}, primary_key=("id",)),
        empty("visits", {"id": "bigint", "patient": "bigint", "value": "numeric", "code": "text",
                         "is_active": "boolean", "concept_id": "integer"}, primary_key=("id",)),
        empty("colours", {"id": "bigint", "code": "text", "name": "text"}, primary_key=("id",)),
    )  # fmt: skip
    if patients == "patients":
        assert made.table("visits").column("patient").references == ("patients", "id")
        for each in ("value", "code", "concept_id"):
            assert made.table("visits").column(each).protection in {"restricted", None}, each
    assert made.table("colours").column("code").protection in {"interoperable", None}


def test_a_key_finds_its_table_behind_the_word_that_all_tables_begin_with():
    tables = [
        empty(f"wp_{each}", {"ID": "bigint"}, primary_key=("ID",)) for each in ("users", "terms", "posts")
    ]
    tables.append(empty("wp_usermeta", {"umeta_id": "bigint", "user_id": "bigint", "meta_value": "text"}))
    made = proposed(*tables)
    assert made.table("wp_usermeta").column("user_id").references == ("wp_users", "ID")


@pytest.mark.parametrize(
    ("name", "data_type", "open_"),
    [
        ("avatar_file_size", "bigint", True),
        ("header_content_type", "text", True),
        ("photo_mime_type", "text", True),
        ("customer_row_version", "integer", True),
        ("blood_file_type", "text", False),
        ("file_type_of_person", "text", False),
        ("size", "integer", False),
        ("type", "text", False),
    ],
)
def test_what_ends_technically_is_harmless_whatever_it_belongs_to(name, data_type, open_):
    made = proposed(empty("people", {"id": "bigint", "email": "text", name: data_type}, primary_key=("id",)))
    column = made.table("people").column(name)
    assert (column.identifiability == "none" and column.protection == "interoperable") is open_


@pytest.mark.parametrize(
    "name",
    [
        "phone_no", "mobile_nr", "handy_nr", "fax_no", "soc_sec_no", "pps_no", "tax_id", "passport_no",
        "id_card_nr", "steuer_id", "bsn_nr", "pesel_nr", "card_no", "codice_fiscale", "cod_postal", "iban_nr",
    ],
)  # fmt: skip
@pytest.mark.parametrize("values", [[], [f"Xq{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(200)]])
def test_a_number_that_reaches_somebody_is_no_plain_key(name, values):
    columns = {**PEOPLE, name: ("text", values or [None] * 200)}
    column = proposed(sampled("people", columns, primary_key=("id",))).table("people").column(name)
    assert column.kind != "key"
    assert column.protection not in {"interoperable", "public"}


@pytest.mark.parametrize(
    "name", ["patient_nm", "cust_name", "guardian_name", "medewerker_naam", "contact_person"]
)
def test_what_somebody_is_called_is_a_name(name):
    column = (
        proposed(empty("visits", {"id": "bigint", name: "text"}, primary_key=("id",)))
        .table("visits")
        .column(name)
    )
    assert column.identifiability == "direct"


@pytest.mark.parametrize(
    "name",
    [
        "approved",
        "is_approved",
        "retired",
        "rejected",
        "default",
        "paid",
        "failed",
        "private",
        "expired",
        "banned",
    ],
)
def test_flags_that_judge_a_person_are_no_technical_ones(name):
    columns = {**PEOPLE, name: ("boolean", ["true", "false"] * 100)}
    column = proposed(sampled("people", columns, primary_key=("id",))).table("people").column(name)
    assert column.identifiability == "quasi"


@pytest.mark.parametrize(
    "values", [["active", "failed"], ["low", "high"], ["paid", "unpaid"], ["active", "overdue"]]
)
def test_states_that_judge_are_harmless_of_things_only(values):
    columns = {**PEOPLE, "status": ("text", values * 100), "payment_status": ("text", values * 100)}
    made = proposed(sampled("people", columns, primary_key=("id",))).table("people")
    assert made.column("status").identifiability == "quasi"
    assert made.column("payment_status").identifiability == "none"

"""In a table that leads to people nothing is `none` or `interoperable` unless it is recognised as that."""

from dataclasses import replace

import pytest

from ringfort.catalog.column_words import kinds_of_name
from ringfort.catalog.sample import sampled
from ringfort.catalog.scan import propose
from ringfort.catalog.special import special_name

PEOPLE = {"id": ("bigint", list(range(1, 201))), "email": ("text", [f"p{n}@example.ie" for n in range(200)])}


def proposed(name, values, data_type="text", *, table="people"):
    """The column as it is proposed in a table of 200 people."""
    columns = {**PEOPLE, name: (data_type, [values[at % len(values)] for at in range(200)])}
    made = propose([sampled(table, columns, primary_key=("id",))], dataset="d", database="d")
    return made.datasets[0].tables[0].column(name)


SPECIAL = {
    "health": "hiv_status hivStatus HIVSTATUS is_disabled treatment_group diagnosis blood_type Krankheit"
    " schwerbehindert handicap discapacidad malattia doenca ziekteverzuim sjukdom sygdom sykefravær sairaus"
    " haigus slimība liga_susirgimas choroba zdravotni_stav zdravie bolezen bolest betegség boala болест"
    " ασθένεια galar sahha sağlık hastalık хвороба болезнь tehotenstvi invalidita niepelnosprawnosc",
    "ethnicity": "ethnicity race etnia origine_ethnique etniskt_ursprung narodowość národnost rahvus tautība"
    " етнос этническая национальность irk_kökeni",
    "religion": "religion konfession glaube religione kyrka wyznanie vyznani cirkev vjera vallás uskonto usk"
    " tikėjimas θρησκεία вероизповедание релігія din",
    "politics": "political_view partyAffiliation partei parti_politique partido_politico partij puolue erakond"  # noqa: E501
    " poglady_polityczne politicka_strana партия siyasi_görüş",
    "union": "union_member is_unionized Gewerkschaft syndicat sindicato vakbond fackförbund fagforening"
    " ammattiliitto zwiazek_zawodowy odborova_organizace szakszervezet синдикат sendika",
    "genetic": "genetic_marker dna_sample genotype erbgut генетика",
    "biometric": "biometric_template fingerprint_hash face_encoding Fingerabdruck empreinte_digitale odcisk_palca",  # noqa: E501
    "sexuality": "sexual_orientation orientation sexuelle_orientierung seksualiteit cinsel_yonelim",
    "criminal": "crime_type has_conviction offence_code vorstrafe straftat casier_judiciaire antecedentes reato"  # noqa: E501
    " strafblad brottsregister straffeattest rikosrekisteri wyrok trestny_cin büntetlen_előélet судимость sabıka",  # noqa: E501
    "need": "asylum_status refugee_id_type visa_status asyl aufenthaltstitel asile asilo azyl pobyt turvapaikka"  # noqa: E501
    " menekült бежанец",
}


@pytest.mark.parametrize(
    ("subject", "name"), [(subject, name) for subject, names in SPECIAL.items() for name in names.split()]
)
def test_special_categories_are_said_in_every_language(subject, name):
    assert special_name(name), name
    for data_type, values in (
        ("integer", ["0", "1"]),
        ("text", ["a", "b", "c"]),
        ("boolean", ["true", "false"]),
    ):
        found = proposed(name, values, data_type)
        assert (found.protection, found.identifiability) == ("restricted", "quasi"), (subject, found)
        assert found.unsure


@pytest.mark.parametrize(
    "values",
    [
        ["positive", "negative"],
        ["Positiv", "Negativ", "inconclusive"],
        ["E11.9", "I10", "C50.9", "B20"],
        ["N02BE01", "C09AA05"],
        ["A+", "0-", "AB+"],
        ["Catholic", "Muslim", "Atheist"],
        ["evangelisch", "römisch-katholisch", "konfessionslos"],
        ["heterosexual", "bisexual"],
        ["CDU", "SPD", "AfD"],
        ["White", "Asian", "Black or African American"],
        ["Viral sinusitis (disorder)", "Acute bronchitis (disorder)", "Prediabetes"],
        ["Metformin 500 MG Oral Tablet", "Insulin"],
        ["burglary", "assault", "theft"],
    ],
)
@pytest.mark.parametrize("name", ["x1", "status", "type", "value", "grp", "code", "description", "category"])
def test_special_categories_are_seen_in_values_whatever_the_name_is(name, values):
    found = proposed(name, values)
    assert (found.protection, found.identifiability) == ("restricted", "quasi")


@pytest.mark.parametrize(
    "name",
    [
        "status",
        "type",
        "group",
        "class",
        "level",
        "title",
        "score",
        "size",
        "code",
        "flag",
        "kind",
        "category",
        "segment",
        "tier",
        "plan",
        "state",
        "stage",
        "mode",
        "rank",
        "points",
        "value",
        "amount",
        "count",
        "number",
        "index",
        "label",
        "tag",
        "result",
        "grade",
        "band",
        "hub_typ",
        "kategoria",
        "cluster_label",
        "risk_level",
        "member_type",
        "customer_segment",
    ],
)
@pytest.mark.parametrize(
    ("data_type", "values"),
    [
        ("text", ["a", "b", "c"]),
        ("text", ["granted", "rejected"]),
        ("text", ["high risk", "low risk"]),
        ("integer", ["0", "1"]),
        ("smallint", ["1", "2", "9"]),
        ("numeric", ["1.0", "2.0"]),
        ("double precision", ["0.75", "1.25"]),
        ("boolean", ["true", "false"]),
        ("character varying(3)", ["A10", "B12"]),
    ],
)
def test_one_generic_word_decides_nothing(name, data_type, values):
    found = proposed(name, values, data_type)
    assert found.identifiability != "none" or found.protection == "restricted", found
    assert found.protection not in {"interoperable", "public"}, found
    if found.classified and len(values) <= 3 and data_type in {"integer", "smallint", "numeric"}:
        assert found.kind == "category", "a band of 0 to 1 would tell the value"


@pytest.mark.parametrize(
    ("name", "data_type", "values"),
    [
        ("gehalt", "numeric(10,2)", ["3100.00", "4200.50"]),
        ("stipendio", "double precision", ["1900", "2500.5"]),
        ("Lohn", "integer", ["31000", "42000"]),
        ("base_salary", "money", ["$31,000.00", "$42,000.00"]),
        ("weight", "double precision", ["71.5", "88.0"]),
        ("height", "integer", [str(150 + n) for n in range(40)]),
        ("body_weight_kg", "numeric", ["71.5", "88.0"]),
        ("job_title", "text", ["Nurse", "Electrician", "Priest"]),
        ("beruf", "text", ["Pfleger", "Elektriker"]),
        ("marital_status", "text", ["single", "married"]),
        ("nationality", "text", ["IE", "SY"]),
        ("credit_score", "integer", [str(500 + n) for n in range(50)]),
    ],
)
def test_what_is_said_of_a_person_is_never_none(name, data_type, values):
    found = proposed(name, values, data_type)
    assert (found.protection, found.identifiability) in {("protected", "quasi"), ("restricted", "quasi")}


@pytest.mark.parametrize(
    "name", ["sex", "gender", "Geschlecht", "sexe", "kön", "płeć", "pohlaví", "cinsiyet", "пол"]
)
@pytest.mark.parametrize(
    ("data_type", "values"),
    [
        ("integer", ["1", "2"]),
        ("smallint", ["0", "1", "2", "9"]),
        ("text", ["1", "2"]),
        ("double precision", ["1", "2"]),
    ],
)
def test_sex_and_gender_are_known_as_numbers(name, data_type, values):
    found = proposed(name, values, data_type)
    assert (found.kind, found.identifiability) == ("gender", "quasi")


@pytest.mark.parametrize(
    "name",
    [
        "fname",
        "lname",
        "mname",
        "name_last",
        "name_first",
        "last_name",
        "FirstName",
        "firstname",
        "surname",
        "vorname",
        "nachname",
        "cognome",
        "nome",
        "imie",
        "nazwisko",
        "prenom",
        "nom",
        "apellido1",
        "primer_apellido",
        "voornaam",
        "achternaam",
        "förnamn",
        "efternavn",
        "etunimi",
        "sukunimi",
        "eesnimi",
        "perekonnanimi",
        "vārds",
        "uzvārds",
        "vardas",
        "pavardė",
        "jméno",
        "příjmení",
        "priezvisko",
        "ime",
        "priimek",
        "prezime",
        "keresztnév",
        "vezetéknév",
        "nume",
        "prenume",
        "име",
        "фамилия",
        "όνομα",
        "επώνυμο",
        "ainm",
        "sloinne",
        "isem",
        "kunjom",
        "adsoyad",
        "прізвище",
        "eftirnafn",
        "name",
        "full_name",
        "patient_name",
    ],
)
def test_names_are_names_in_every_language(name):
    found = proposed(name, [f"Xq{chr(97 + n % 26)}{chr(97 + n // 26)}t" for n in range(200)])
    assert (found.kind, found.identifiability) == ("name", "direct")


@pytest.mark.parametrize(
    ("name", "data_type", "values"),
    [
        ("is_active", "boolean", ["true", "false"]),
        ("email_verified", "boolean", ["true", "false"]),
        ("deleted", "integer", ["0", "1"]),
        ("quantity", "integer", [str(n) for n in range(60)]),
        ("unit_price", "numeric(10,2)", ["1.50", "2.75"]),
        ("currency", "text", ["EUR", "GBP", "USD"]),
        ("order_status", "text", ["shipped", "pending", "cancelled"]),
        ("payment_method", "text", ["card", "paypal", "cash"]),
    ],
)
def test_what_is_recognised_by_name_and_values_stays_usable(name, data_type, values):
    found = proposed(name, values, data_type)
    if name == "deleted":
        assert found.identifiability == "quasi"  # a number: it could be a code
        return
    assert found.identifiability == "none", found
    assert not found.unsure
    if data_type == "text":  # other values: the name alone recognises nothing
        other = proposed(name, ["zork", "blip", "quux"])
        assert other.identifiability != "none"


def test_a_table_leads_to_people_by_its_key_by_references_and_by_what_it_holds():
    flag = {"kind": ("text", ["a", "b"] * 50)}
    people = sampled("customers", {"customer_no": ("bigint", list(range(100)))}, primary_key=("customer_no",))
    tables = [
        people,
        sampled("orders", {"id": ("bigint", list(range(100))), "customer_no": ("bigint", list(range(100))), **flag},  # noqa: E501
                primary_key=("id",)),
        sampled("order_lines", {"order_id": ("bigint", list(range(100))), **flag}),
        sampled("profile", {"customer_no": ("bigint", list(range(100))), **flag}, primary_key=("customer_no",)),  # noqa: E501
        sampled("contacts_of_suppliers", {"mail": ("text", [f"a{n}@b.ie" for n in range(100)]), **flag}),
        sampled("employees", {"id": ("bigint", list(range(100))), **flag}, primary_key=("id",)),
        sampled("planets", {"id": ("bigint", list(range(100))), **flag}, primary_key=("id",)),
    ]  # fmt: skip
    made = propose(tables, dataset="d", database="d").datasets[0]
    assert made.subject == "customers.customer_no"
    assert made.table("orders").subject_path == "customer_no -> customers.customer_no"
    for name in ("orders", "order_lines", "profile", "contacts_of_suppliers", "employees"):
        assert made.table(name).column("kind").identifiability == "quasi", name
    assert made.table("planets").column("kind").protection in {"interoperable", "protected"}


def test_what_the_table_of_people_refers_to_is_about_people():
    groups = sampled(
        "groups", {"id": ("bigint", [1, 2]), "type": ("text", ["a", "b"] * 40)}, primary_key=("id",)
    )
    people = sampled(
        "customers", {"id": ("bigint", [1, 2]), "group_id": ("bigint", [1, 2])}, primary_key=("id",)
    )
    made = propose([groups, people], dataset="d", database="d").datasets[0]
    assert made.table("groups").column("type").identifiability == "quasi"


@pytest.mark.parametrize(("lookup", "column"), [("religions", "religion_id"), ("diagnoses", "diagnosis_id")])
def test_keys_that_lead_to_a_special_category_are_restricted(lookup, column):
    people = sampled("patients", {"id": ("bigint", [1, 2]), column: ("bigint", [1, 2])}, primary_key=("id",))
    listed = sampled(lookup, {"id": ("bigint", [1, 2]), "name": ("text", ["a", "b"])}, primary_key=("id",))
    made = propose([people, listed], dataset="d", database="d").datasets[0]
    assert made.table("patients").column("id").protection == "interoperable"
    assert made.table("patients").column(column).protection == "restricted"
    assert made.table(lookup).column("name").protection in {"restricted", None}


def test_in_a_table_called_like_a_special_category_nothing_is_harmless():
    columns = {"person_id": ("bigint", list(range(40))), "quantity": ("integer", list(range(40))),
               "is_active": ("boolean", ["true"] * 40), "status": ("text", ["open", "closed"] * 20)}  # fmt: skip  # noqa: E501
    people = sampled("persons", {"id": ("bigint", list(range(40)))}, primary_key=("id",))
    made = propose([people, sampled("prescriptions", columns)], dataset="d", database="d").datasets[0]
    for name in ("quantity", "is_active", "status"):
        assert made.table("prescriptions").column(name).protection == "restricted"


def test_absent_statistics_say_nothing():
    names = [f"N{n:03}x" for n in range(900)]
    table = sampled("people", {**PEOPLE, "alias": ("text", names), "grp": ("text", ["a", "b"] * 450)})
    blind = replace(
        table,
        rows=-1,
        columns=tuple(replace(each, distinct=None, nulls=None) for each in table.columns),
    )
    for each in (table, blind):
        made = propose([each], dataset="d", database="d").datasets[0].tables[0]
        assert made.column("alias").protection is None
        assert made.column("grp").kind == "category"


def test_stale_statistics_do_not_go_before_the_sample():
    table = sampled("people", {**PEOPLE, "alias": ("text", [f"N{n}" for n in range(900)])})
    stale = replace(table, columns=tuple(replace(each, distinct=1.0) for each in table.columns), rows=900)
    assert (
        propose([stale], dataset="d", database="d").datasets[0].tables[0].column("alias").protection is None
    )


@pytest.mark.parametrize(
    ("name", "data_type"), [("code", "text"), ("login", "text"), ("iso", "character(2)"), ("ref", "uuid")]
)
def test_a_declared_primary_key_is_a_key(name, data_type):
    table = sampled("t", {name: (data_type, ["a", "b"]), "x": ("text", ["y"])}, primary_key=(name,))
    assert propose([table], dataset="d", database="d").datasets[0].tables[0].column(name).kind == "key"


def test_kinds_of_names():
    assert "name" not in kinds_of_name("product_name")
    assert "personal" in kinds_of_name("job_title")

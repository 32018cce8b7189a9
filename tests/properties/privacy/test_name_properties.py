"""A name is found in any usual writing of it, in the scripts of the region, within any sentence."""

import unicodedata
from functools import cache

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.privacy.inspected import KEY

from ringfort.privacy.fingerprint import FingerprintBuilder
from ringfort.privacy.fingerprint_match import Matcher
from ringfort.privacy.inspection_text import readings

# given names and family name, of the official and widely used languages of the region
NAMES = {
    "bg": ("Ангел Йорданов", "Димитров"),
    "cs": ("Bořivoj", "Křížek"),
    "da": ("Søren Åge", "Kjærgård"),
    "de": ("Jürgen", "Großmüller"),
    "el": ("Οδυσσεύς", "Παπαγιάννης"),
    "en": ("Zoë Siân", "O'Hara"),
    "es": ("Íñigo", "Núñez Ibáñez"),
    "et": ("Õie", "Pärnõja"),
    "fi": ("Väinö", "Yrjölä"),
    "fr": ("François-Régis", "L'Hôpital"),
    "ga": ("Caoimhín", "Ó Súilleabháin"),
    "hr": ("Đorđe", "Živković"),
    "hu": ("Győző", "Fűrész"),
    "it": ("Niccolò", "Dell'Acqua"),
    "lt": ("Žydrūnė", "Šerkšnaitė"),
    "lv": ("Kārlis", "Ķēniņš"),
    "mt": ("Ġorġ", "Ħaxixa Għarb"),
    "nl": ("Joëlle", "van der Broeck"),
    "pl": ("Łucja", "Źdźbło"),
    "pt": ("João", "Conceição d'Ávila"),
    "ro": ("Ștefănel", "Țăran"),
    "sk": ("Ľubomír", "Ďurčo"),
    "sl": ("Žiga", "Čuček"),
    "sv": ("Åsa", "Sjöström"),
    "no": ("Bjørn", "Ødegård"),
    "is": ("Þórður", "Guðmundsson"),
    "lb": ("Théophile", "Schaack-Wéber"),
    "se": ("Áŋŋel", "Ŧávdnjo"),
    "ca": ("Gal·la", "Coll"),
    "tr": ("İpek", "Işıldağ"),
    "uk": ("Ївга", "Ґудз'як"),
    "sr": ("Ђорђе", "Његош"),
    "ar": ("أَحْمَد", "عبد الرحمٰن"),
    "he": ("שִׁמְעוֹן", "בן־יהודה"),
    "hy": ("Գևորգ", "Տեր-Պետրոսյան"),
    "ka": ("თინათინ", "ჯავახიშვილი"),
    "az": ("Əli", "Məmmədov"),
    "gd": ("Sean", "MacDonald"),
    "kl": ("Jorĸi", "Qujaukitsoĸ"),
}
APOSTROPHES = [
    "'",
    "\u2019",
    "\u2018",
    "\u02bc",
    "\uff07",
    "`",
    "\u00b4",
    "\u02b9",
    "\u2032",
    "\u201b",
    "\ua78c",
    "",
]
HYPHENS = ["-", "\u2010", "\u2011", "\u2013", "\u2212", "\u00ad-", " ", " - ", "\ufe63"]
SPACES = [" ", "  ", "\u00a0", "\u2009", "\t", "\n", "_", ".", "\u200b ", " \u200f"]
INVISIBLE = ["", "\u200b", "\u200d", "\u2060", "\ufeff", "\u202a", "\u061c"]
AROUND = st.text(st.characters(categories=["Ll", "Zs", "Po", "Sm"], exclude_characters="@+&%\\"), max_size=25)


def plainly(text):
    """As on a keyboard without accents."""
    bare = "".join(each for each in unicodedata.normalize("NFD", text) if not unicodedata.combining(each))
    return unicodedata.normalize("NFC", bare)


def greek_capitals(text):
    """Capitals without accents, as on signs and forms."""
    return plainly(text).upper()


WRITINGS = [
    str,
    str.upper,
    str.lower,
    str.title,
    str.casefold,
    plainly,
    greek_capitals,
    lambda text: unicodedata.normalize("NFD", text),
    lambda text: unicodedata.normalize("NFKC", text),
    lambda text: unicodedata.normalize("NFD", text.upper()),
    lambda text: "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in text),
]
LETTERS = {
    "ö": "oe",
    "ü": "ue",
    "ä": "ae",
    "ø": "oe",
    "å": "aa",
    "æ": "ae",
    "ß": "ss",
    "þ": "th",
    "ð": "d",
    "ł": "l",
    "đ": "dj",
    "ħ": "h",
    "ŋ": "n",
    "ŧ": "t",
    "ı": "i",
    "Ø": "Oe",
    "Å": "Aa",
    "Þ": "Th",
    "Ð": "D",
    "Đ": "Dj",
    "Ö": "Oe",
    "ĸ": "q",
    "Ł": "L",
    "Ħ": "H",
    "Ŧ": "T",
}


@st.composite
def writing(draw, given, family):
    """One usual writing of a name."""
    order = draw(st.sampled_from(["{0} {1}", "{1} {0}", "{1}, {0}", "Dr. {0} {1}", "{1}; {0}"]))
    text = order.format(given, family)
    if draw(st.booleans()):
        for letter, instead in LETTERS.items():
            text = text.replace(letter, instead)
    text = draw(st.sampled_from(WRITINGS))(text)
    made = []
    for each in text:
        if each in "'\u2019":
            made.append(draw(st.sampled_from(APOSTROPHES)))
        elif each == "-":
            made.append(draw(st.sampled_from(HYPHENS)))
        elif each == " ":
            made.append(draw(st.sampled_from(SPACES)))
        else:
            made.append(each + draw(st.sampled_from(INVISIBLE)) if draw(st.integers(0, 9)) == 0 else each)
    return "".join(made)


def matcher_of(*columns):
    builder = FingerprintBuilder(KEY)
    builder.add_rows([("name", pa.array(each)) for each in columns])
    return Matcher(builder.finish().fingerprints)


@cache
def matchers(language):
    """Of a name in one column, in one column with the family name first, and in two columns."""
    given_name, family = NAMES[language]
    return (
        matcher_of([f"{given_name} {family}"]),
        matcher_of([f"{family}, {given_name}"]),
        matcher_of([given_name], [family]),
    )


def matches(matcher, *texts):
    """For each text whether a name is found in it."""
    rows = set()
    read, owners = readings(pa.array(texts, pa.string()))
    for each in matcher.texts(read):
        rows |= set(owners[each.rows[each.kinds >= 0]].tolist())
    return [at in rows for at in range(len(texts))]


@pytest.mark.parametrize("language", NAMES)
@settings(max_examples=15)
@given(st.data())
def test_any_usual_writing_is_found(language, data):
    given_name, family = NAMES[language]
    text = data.draw(writing(given_name, family))
    around = f"{data.draw(AROUND)}. {text} .{data.draw(AROUND)}"
    for each in matchers(language):
        assert matches(each, around) == [True]


@pytest.mark.parametrize(
    ("kept", "written"),
    [
        ("Hans Müller", "Müller, Dr. Hans"),
        ("Mary Smith", "Mary J. Smith"),
        ("Mary Smith", "Smith, Prof. Dr. Mary A. B."),
        ("Mary Jane Smith", "Mary J. Smith"),
        ("Mary J. Smith", "Smith, Mary"),
        ("Björk Guðmundsdóttir", "Gudmundsdottir, Bjork"),
        ("Anders Ångström", "Aangstroem, Anders"),
        ("Séamus Ó hÉigeartaigh", "Seamus O'hEigeartaigh"),
        ("Nguyễn Văn An", "nguyen van an"),
        ("Marco D'Angelo", "Dangelo Marco"),
        ("Hélène de Fougerolles", "Defougerolles Helene"),
        ("MacDonald Sean", "Mac Donald Sean"),
        ("Sean Mac Donald", "sean macdonald"),
        ("Sean McDonald", "Sean Mc Donald"),
        ("Sean McDonald", "Sean MacDonald"),
        ("Mac Donald Sean", "MCDONALD, Sean"),
        ("O'X Mary", "O X Mary"),
        ("OX Mary", "O\u2019X Mary"),
        ("Jan van der Berg", "Jan Vanderberg"),
        ("Jan Vanderberg", "van der Berg, Jan"),
        ("Jan van der Berg", "Berg, Jan van der"),
        ("Jan van der Berg", "Jan Berg"),
        ("Jean-Pierre Dupont", "Jeanpierre Dupont"),
        ("Jeanpierre Dupont", "DUPONT Jean Pierre"),
        ("Mariaelena Rossi", "Rossi Maria Elena"),
        ("Maria Elena Rossi", "Mariaelena Rossi"),
        ("Anna Aasen", "Annaåsen, x Anna Åsen"),
        ("Hans Müller", "Hans Mueller"),
        ("Hans Mueller", "Hans Muller"),
        ("Hans Muller", "MÜLLER Hans"),
        ("Dr. Mary Smith", "Smith, Mary"),
        ("Mary Smith", "Prof. Dr. Mary Smith"),
        ("Mary Jane Smith", "Mary Smith"),
        ("Mary Jane Smith", "Smith, Mary"),
        ("Mary Jane Smith", "Smith, Mary Jane"),
        ("Gabriel García Márquez", "Gabriel Garcia"),
        ("Gabriel García Márquez", "Marquez, Gabriel"),
        ("José Luis García Márquez", "José García"),
        ("José Luis García Márquez", "García Márquez, José Luis"),
        ("Ortega y Gasset, José", "José Ortega Gasset"),
        ("Abdulrahman Saleh", "Abdul Rahman Saleh"),
        ("عبد الله محمود", "عبدالله محمود"),
        ("Mary Smith", "Mary\u200bSmith"),
        ("Mary Smith", "Mary\u2060Smith"),
        ("Muḥammad al-Ḥasan", "muhammad alhasan"),
        ("Ōe Kenzaburō", "Oe Kenzaburo"),
        ("Zoë De Ambrosio", "Zoe Deambrosio"),
        ("Gevorg Եվա", "gevorg և" + "ա"),
        ("Anna Maria da Silva Pereira dos Santos", "Anna Santos"),
        ("Anna Maria da Silva Pereira dos Santos", "Anna Maria da Silva"),
        ("Đoković Novak", "Novak Djokovic"),
        ("Novak Djokovic", "NOVAK ĐOKOVIĆ"),
        ("ŻÓŁĆ Łukasz", "lukasz zolc"),
        ("Ἀλέξανδρος Παπάς", "ΑΛΕΞΑΝΔΡΟΣ ΠΑΠΑΣ"),
    ],
)
def test_words_and_their_division_differ(kept, written):
    assert matches(matcher_of([kept]), f"to {written}, by post") == [True]


@pytest.mark.parametrize("missing", [None, "", " "])
def test_a_missing_part_hides_nobody(missing):
    known = matcher_of(
        ["Quenby", "Ada", missing], [missing, "Byron", "Sunniva"], ["Quillfeather", "Lovelace", "Halvorsen"]
    )
    texts = (
        "Quenby Quillfeather",
        "Halvorsen, Sunniva",
        "Ada Byron Lovelace",
        "Ada Lovelace",
        "Quenby Halvorsen",
    )
    assert matches(known, *texts) == [True, True, True, True, False]


@pytest.mark.parametrize("third", ["Dr.", "Wagstaff", "Quenby Quillfeather", "QQ", None, "Ltd"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_third_column_hides_nobody(third, place):
    columns = [["Quenby"], ["Quillfeather"]]
    columns.insert(place, pa.array([third], pa.string()))
    assert matches(matcher_of(*columns), "Quenby Quillfeather", "QUILLFEATHER Quenby") == [True, True]


@pytest.mark.parametrize(
    ("kept", "written"),
    [
        ("mary.smith@example.org", "Mary.Smith@Example.ORG"),
        ("mary.smith@example.org", "marysmith@example.org"),
        ("mary.smith@example.org", "mary.smith+news@example.org"),
        ("mary.smith+shop@example.org", "mary.smith@example.org"),
        ("mary.smith+shop@example.org", "mary.smith+bank@example.org"),
        ("jo@bücher.example", "jo@xn--bcher-kva.example"),
        ("jo@xn--bcher-kva.example", "JO@BÜCHER.example"),
    ],
)
def test_ways_to_write_an_address(kept, written):
    from tests.unit.privacy.inspected import fingerprints, found, plan

    from ringfort.privacy.inspection import ColumnRule, inspect_batch

    rule = ColumnRule("c", frozenset({"email"}))
    result = inspect_batch(
        plan(rule, known=fingerprints(email=[kept])), pa.record_batch({"c": [f"mail {written}."]})
    )
    assert found(result) == {("c", "known_email"): 1}


@settings(max_examples=60)
@given(st.lists(st.text(max_size=30), max_size=20), st.lists(st.text(max_size=60), max_size=20))
def test_nothing_raises(names, texts):
    builder = FingerprintBuilder(KEY)
    values = pa.array(names, pa.string())
    builder.add_rows([("name", values), ("name", values), ("email", values), ("phone", values)])
    matches(Matcher(builder.finish().fingerprints), *texts)

"""Laws of the decision: nothing that takes away a reason to show may reveal more.

Policies are drawn from parts that cannot fail: a policy that fails denies its form, so taking such a one away
may well reveal more, on purpose.
"""

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from ringfort.catalog.model import IDENTIFIABILITIES, PROTECTIONS, Catalogue, Column, Dataset, Table
from ringfort.policy.bundle import SCHEMA_FILE, PolicyBundle, default_bundle
from ringfort.policy.decide import AccessRequest, Principal, ViewerSource, decide
from ringfort.policy.disclosure_map import ColumnDisclosure, DisclosureMap
from ringfort.policy.forms import ASKED, Form
from ringfort.policy.source import SourceFile

REGION = ("IE", "DE", "FR")
COUNTRIES = ("IE", "DE", "US", "CN", "")
SCHEMA = default_bundle().file(SCHEMA_FILE)
DEFAULTS = default_bundle().compile()

conditions = st.sampled_from(
    [
        "true",
        "context.in_region",
        "!context.in_region",
        'context.viewer_country == "CN"',
        'context.purpose == "p"',
        'context.granted.contains("g")',
        'principal.role == "support"',
        'principal.country == "IE"',
        'resource.protection == "restricted"',
        'resource.identifiability != "none"',
        'resource.kind == "key"',
        'resource.table == "t1"',
        'resource.name == "c0"',
    ]
)
actions = st.lists(st.sampled_from(ASKED), min_size=1, max_size=6, unique=True)
permits = st.tuples(st.just("permit"), actions, conditions, conditions)
forbids = st.tuples(st.just("forbid"), actions, conditions, conditions)
policies = st.lists(permits | forbids, max_size=8)
columns = st.builds(
    Column,
    name=st.sampled_from(["c0", "c1", "c2", "c3"]),
    data_type=st.just("text"),
    protection=st.sampled_from(PROTECTIONS),
    identifiability=st.sampled_from(IDENTIFIABILITIES),
    kind=st.sampled_from(["key", "email", "amount"]),
    identity_space=st.sampled_from([None, None, "one", "two"]),
)
unclassified = st.builds(Column, name=st.just("c9"), data_type=st.just("text"))
tables = st.lists(columns | unclassified, min_size=1, max_size=4, unique_by=lambda each: each.name).map(tuple)
catalogues = st.builds(
    lambda one, other: Catalogue(
        (Dataset("d", "db", "", (Table("public", "t1", one), Table("public", "t2", other))),)
    ),
    tables,
    tables,
)
requests = st.builds(
    AccessRequest,
    principal=st.builds(
        Principal,
        name=st.just("p"),
        country=st.sampled_from(["IE", "US", "CN"]),
        employer=st.just("e"),
        role=st.sampled_from(["support", "analyst", "engineer", "operator", "approver", "overseer", "x"]),
    ),
    purpose=st.sampled_from(["", "p", "customer-support"]),
    ticket=st.just(""),
    viewer=st.lists(
        st.builds(ViewerSource, st.just("network zone"), st.sampled_from(COUNTRIES)), max_size=3
    ).map(tuple),
    site=st.just("s"),
    site_country=st.just("IE"),
    database=st.just("db"),
    granted=st.sampled_from([frozenset(), frozenset({"g"})]),
    time=st.just("2026-01-01T00:00:00Z"),
)


def compiled(written):
    lines = []
    for number, (effect, forms, one, other) in enumerate(written):
        asked = ", ".join(f'Action::"{each}"' for each in forms)
        lines.append(
            f'@id("p{number}") {effect}(principal, action in [{asked}], resource)'
            f" when {{ {one} }} unless {{ !({other}) }};"
        )
    return PolicyBundle((SCHEMA, SourceFile("a.cedar", "\n".join(lines)))).compile()


def reveals_no_more(less, more):
    assert less.columns.keys() == more.columns.keys()
    return all(less.columns[key].form.rank >= more.columns[key].form.rank for key in more.columns)


few = settings(max_examples=30, deadline=None)


@few
@given(policies, st.integers(0, 7), catalogues, requests)
def test_taking_away_a_permit_never_reveals_more(written, number, catalogue, request):
    removable = [place for place, each in enumerate(written) if each[0] == "permit"]
    if not removable:
        return
    gone = removable[number % len(removable)]
    fewer = [each for place, each in enumerate(written) if place != gone]
    less = decide(compiled(fewer), catalogue, REGION, request)
    assert reveals_no_more(less, decide(compiled(written), catalogue, REGION, request))


@few
@given(policies, forbids, catalogues, requests)
def test_adding_a_forbid_never_reveals_more(written, forbid, catalogue, request):
    less = decide(compiled([*written, forbid]), catalogue, REGION, request)
    assert reveals_no_more(less, decide(compiled(written), catalogue, REGION, request))


@few
@given(policies, catalogues, requests, st.sampled_from(COUNTRIES))
def test_another_source_for_the_country_never_reveals_more(written, catalogue, request, country):
    bundle = compiled(written)
    more = dataclasses.replace(request, viewer=(*request.viewer, ViewerSource("token", country)))
    if not request.viewer:
        request = dataclasses.replace(request, viewer=(ViewerSource("token", "ZZ"),))
        more = dataclasses.replace(more, viewer=(*request.viewer, *more.viewer))
    assert reveals_no_more(
        decide(bundle, catalogue, REGION, more), decide(bundle, catalogue, REGION, request)
    )


@few
@given(catalogues, requests, st.sampled_from(["US", "CN", "", "ZZ"]))
def test_with_the_shipped_policies_outside_never_reveals_more_than_inside(catalogue, request, country):
    inside = dataclasses.replace(request, viewer=(ViewerSource("network zone", "IE"),))
    outside = dataclasses.replace(request, viewer=(ViewerSource("network zone", country),))
    assert reveals_no_more(
        decide(DEFAULTS, catalogue, REGION, outside), decide(DEFAULTS, catalogue, REGION, inside)
    )


@few
@given(policies, catalogues, requests)
def test_classes_are_whole_and_unclassified_is_hidden(written, catalogue, request):
    decision = decide(compiled(written), catalogue, REGION, request)
    forms = {}
    for dataset in catalogue.datasets:
        for table in dataset.tables:
            for column in table.columns:
                form = decision.form(dataset.name, table.name, column.name)
                assert form not in {Form.AGGREGATE, Form.NOISY}
                if not column.classified:
                    assert form is Form.HIDDEN
                if column.identity_space:
                    forms.setdefault(column.identity_space, set()).add(form)
    assert all(len(each) == 1 for each in forms.values())


@few
@given(policies, catalogues, requests)
def test_sharing_answers_between_columns_changes_nothing(written, catalogue, request):
    # a policy that never applies, but could look at any name, makes every column be asked on its own
    alone = [*written, ("forbid", ["raw"], 'resource.name like "never*"', "true")]
    assert decide(compiled(written), catalogue, REGION, request) == decide(
        compiled(alone), catalogue, REGION, request
    )


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
maps = st.dictionaries(
    st.tuples(text, text, text),
    st.builds(ColumnDisclosure, st.sampled_from(Form), st.lists(text, max_size=3).map(tuple), text),
    max_size=6,
).map(DisclosureMap)


@given(maps)
def test_a_map_and_its_bytes_are_inverse(decision):
    again = DisclosureMap.from_json(decision.to_json())
    assert again == decision
    assert again.digest() == decision.digest()


@given(maps)
def test_the_digest_of_a_map_does_not_depend_on_its_order(decision):
    turned = DisclosureMap(dict(reversed(list(decision.columns.items()))))
    assert turned.digest() == decision.digest()


@given(
    st.dictionaries(st.from_regex(r"[a-z][a-z0-9-]{0,9}\.cedar", fullmatch=True), text, max_size=4),
    st.randoms(use_true_random=False),
)
def test_a_bundle_and_its_bytes_are_inverse_in_any_order(files, random):
    given_files = [SCHEMA, *(SourceFile(name, each) for name, each in files.items())]
    bundle = PolicyBundle(tuple(given_files))
    random.shuffle(given_files)
    assert PolicyBundle(tuple(given_files)).digest == bundle.digest
    assert PolicyBundle.from_bytes(bundle.to_bytes()) == bundle

import itertools

from ringfort.policy.forms import ASKED, FORMS, WITHOUT_ANSWER, Form, effective, meet


def test_the_ladder_is_the_one_that_is_documented():
    assert FORMS == ("raw", "masked", "generalised", "pseudonym", "aggregate", "noisy", "hidden")
    assert FORMS[:-1] == ASKED
    assert [each.rank for each in FORMS] == list(range(7))


def test_meet_is_the_least_revealing_and_of_nothing_is_hidden():
    assert meet([]) is Form.HIDDEN
    for one, other in itertools.product(FORMS, repeat=2):
        assert meet([one, other]).rank == max(one.rank, other.rank)


def test_forms_that_nothing_answers_in_act_as_hidden():
    assert {form for form in FORMS if effective(form) is not form} == WITHOUT_ANSWER
    assert {effective(form) for form in WITHOUT_ANSWER} == {Form.HIDDEN}

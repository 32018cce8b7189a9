"""Whatever is stated: the rule is total, its result stands, digits in any writing are found, tickets pass."""

import contextlib
import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from ringfort.errors import UsageError
from ringfort.privacy.stated_text import MOST_CHARACTERS, PERSONAL_PREFIXES, canonical, is_stated, stated

FIRST, LAST = dt.datetime.fromisoformat("1990-01-01"), dt.datetime.fromisoformat("2099-12-31")
SCRIPTS = (0x30, 0xFF10, 0x660, 0x6F0, 0x966, 0x9E6, 0xE50, 0x1D7CE, 0x1D7D8)
"""Where the digits of some scripts begin."""
BETWEEN = st.text(st.sampled_from(" .,-_/()[]+*:;|\u2014\u00b7\u00a0\u2212~=#!?"), max_size=3)
DIGITS = st.text("0123456789", min_size=6, max_size=18)


@given(st.text(max_size=300))
def test_it_is_total_and_its_result_is_its_own(text):
    with contextlib.suppress(UsageError):
        recorded = stated(text)
        assert stated(recorded) == recorded == canonical(text)
        assert is_stated(recorded)
        assert len(recorded) <= MOST_CHARACTERS
        assert recorded.isprintable()
        assert "@" not in recorded


@given(DIGITS, st.lists(BETWEEN, min_size=18, max_size=18), st.sampled_from(SCRIPTS))
def test_a_long_number_is_found_in_every_grouping_and_script(digits, between, script):
    written = "".join(chr(script + int(each)) + gap for each, gap in zip(digits, between, strict=False))
    if len(digits) < 9 or ":" in written:
        written = "".join(chr(script + int(each)) for each in digits)  # short ones might be a date or a time
    assert not is_stated(canonical(f"call {written} today"))


@given(
    st.from_regex(r"[A-Z]{2,6}", fullmatch=True).filter(lambda each: each not in PERSONAL_PREFIXES),
    st.dates(dt.date(2000, 1, 1), dt.date(2099, 12, 31)),
    st.integers(0, 999_999),
)
def test_tickets_with_days_and_numbers_pass(prefix, day, number):
    for ticket in (
        f"{prefix}-{day:%Y%m%d}-{number:04}",
        f"{prefix}-{number}",
        f"{prefix}-{day.year}-{number}",
    ):
        assert is_stated(f"see {ticket}")


@given(st.datetimes(FIRST, LAST), st.sampled_from("-./"))
def test_dates_and_times_pass(moment, sign):
    for text in (
        moment.strftime(f"%Y{sign}%m{sign}%d"),
        moment.strftime(f"%d{sign}%m{sign}%Y"),
        moment.strftime("%Y-%m-%d %H:%M:%S"),
        moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        moment.strftime("from %Y-%m-%d %H:%M to %Y-%m-%d %H:%M"),
    ):
        assert is_stated(text), text


@given(
    st.from_regex(r"[a-z]{2,8}", fullmatch=True),
    st.from_regex(r"[a-z]{3,10}", fullmatch=True),
    st.sampled_from(["@", "(at)", " at ", " AT ", "[at]", " [at] ", "\uff20", " (AT) ", "{at}", "_at_"]),
    st.sampled_from([".", " dot ", "[dot]", " (dot) ", "_dot_", " DOT "]),
)
def test_addresses_are_found_however_they_are_spelt(name, host, sign, point):
    assert not is_stated(canonical(f"{name}{sign}{host}{point}org"))

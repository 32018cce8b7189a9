from hypothesis import given, settings
from hypothesis import strategies as st

from ringfort.disclosure.statements import Verdict, normalised_key
from ringfort.gateway.one_constant import learn
from ringfort.gateway.verdicts import Known

KNOWN = Known(Verdict(allowed=True, kind="read", shape="{}"))


class Everything:
    """Remembers every text by its key, as after one question to the parser."""

    def __init__(self, sql):
        self._key = normalised_key(sql)

    def lookup(self, sql):
        return KNOWN if self._key is not None and normalised_key(sql) == self._key else None


PLAIN = [b"SELECT ", b"a", b" FROM t ", b"WHERE x = ", b"7", b"42", b".", b"$", b"e", b"-", b"(", b")", b" "]
PIECES = [*PLAIN, b"_", b"'", b'"', b"--", b"/*", b"\xc3\xa9", b"::", b"+", b";"]
pieces = st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map(b"".join)
NOISE = st.sampled_from([b"", b"0", b"1", b"x", b" ", b"999999999999"])


@settings(max_examples=500)
@given(pieces, pieces, st.integers(0, 10**9 - 1), NOISE)
def test_what_is_recognised_has_the_same_key(before, behind, number, noise):
    sql = before + b"5" + behind
    one = learn(sql, KNOWN, Everything(sql))
    if one is None:
        return
    assert one.holds(sql)
    for other in (before + b"%d" % number + behind, before + noise + behind, sql + noise, noise + sql):
        if one.holds(other):
            assert normalised_key(other) == normalised_key(sql)


def test_a_point_lookup_is_recognised():
    sql = b"SELECT abalance FROM pgbench_accounts WHERE aid = 12345;"
    one = learn(sql, KNOWN, Everything(sql))
    assert one.holds(b"SELECT abalance FROM pgbench_accounts WHERE aid = 7;")
    assert not one.holds(b"SELECT abalance FROM pgbench_accounts WHERE aid = 7 OR 1=1;")
    assert not one.holds(b"SELECT abalance FROM pgbench_accounts WHERE aid = 1234567890;")
    assert not one.holds(b"SELECT abalance FROM pgbench_accounts WHERE aid = ;")
    assert not one.holds(b"SELECT bbalance FROM pgbench_accounts WHERE aid = 7;")


def test_nothing_is_learned_where_constants_matter():
    class Exact:
        def lookup(self, sql):
            return Known(Verdict(allowed=True, kind="read", shape="{}"))  # another one for each text

    assert learn(b"SELECT set_config('a', 5)", KNOWN, Exact()) is None
    assert learn(b"SELECT f(5)", KNOWN, Exact()) is None
    assert learn(b"SELECT a1 FROM t WHERE b = 5", KNOWN, Everything(b"SELECT a1 FROM t WHERE b = 5")) is None

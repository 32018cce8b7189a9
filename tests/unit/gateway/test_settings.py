import pytest

from ringfort.errors import ConfigurationError
from ringfort.gateway.settings import read_settings

GOOD = {
    "actor": "worker-0",
    "listen": {"host": "127.0.0.1", "port": 0},
    "tls": {"mode": "optional"},
    "ledger_socket": "a",
    "provisioner_socket": "b",
    "parser_socket": "c",
}


def test_defaults():
    settings = read_settings(GOOD)
    assert (settings.limits.rows_per_session, settings.max_sessions) == (1_000_000, 1_000)


def test_a_message_may_hold_the_longest_statement():
    settings = read_settings({**GOOD, "statement_text_bytes": 5_000_000})
    assert settings.message_bytes > 5_000_000


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"colour": 1}, "colour"),
        ({"tls": {"mode": "off"}}, "tls.mode"),
        ({"tls": {"mode": "required"}}, "tls.certificate"),
        ({"tls": {"cert": "x"}}, "tls.cert"),
        ({"listen": {}}, "listen"),
        ({"listen": {"host": "h", "port": "5432"}}, "listen.port"),
        ({"limits": {"rows_per_session": True}}, "limits.rows_per_session"),
        ({"actor": 5}, "actor"),
    ],
)
def test_what_is_wrong_is_named(change, named):
    with pytest.raises(ConfigurationError) as error:
        read_settings({**GOOD, **change})
    assert named in error.value.message


def test_what_is_missing_is_named():
    for key in ("actor", "ledger_socket"):
        with pytest.raises(ConfigurationError) as error:
            read_settings({name: value for name, value in GOOD.items() if name != key})
        assert key in error.value.message

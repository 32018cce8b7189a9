import pytest

from ringfort.config import load_config
from ringfort.errors import ConfigurationError

GOOD = """\
organisation = "Example"

[gateway]
port = 7000

[site.dublin-1]
country = "IE"
databases = ["shop"]
"""


def write(folder, text):
    (folder / "ringfort.toml").write_text(text)
    return folder


def test_a_small_file_gets_sensible_defaults(tmp_path):
    config = load_config(write(tmp_path, GOOD))
    assert config.organisation == "Example"
    assert config.gateway.port == 7000
    assert config.gateway.tls == "required"
    assert config.site_of("shop").name == "dublin-1"
    assert config.site_of("other") is None
    assert config.folder == tmp_path
    assert "IE" in config.region.countries
    assert "GB" not in config.region.countries


@pytest.mark.parametrize(
    ("change", "line", "said"),
    [
        (("port = 7000", "prot = 7000"), 4, "unknown key `prot` in [gateway]"),
        (("port = 7000", 'port = "x"'), 4, "`gateway.port` must be a whole number"),
        (("port = 7000", "port = -1"), 4, "must not be negative"),
        (("port = 7000", "port = 70000"), 4, "is not a port"),
        (("port = 7000", "workers = 65"), 4, "must be 0 to 64"),
        (("port = 7000", 'country = "Eire"'), 4, "must be a code such as IE"),
        (("port = 7000", "statement_text_bytes = 300000"), 4, "1024 to 262144"),
        (("port = 7000", 'tls = "off"'), 4, "must be `required` or `optional`"),
        (("port = 7000", 'tls_key = "k.pem"'), 3, "go together"),
        (('"Example"', '""'), 1, "`organisation`"),
        (("[site.dublin-1]", "[site.Dublin_1]"), 6, "site name `Dublin_1`"),
        (('"IE"', '"Ireland"'), 7, "`country` must be a code"),
        (('["shop"]', '"shop"'), 8, "must be a list of texts"),
        (('country = "IE"', 'kind = "cloud"'), 7, "`kind` must be"),
        (("organisation", "x = 1\norganisation"), 1, "unknown key `x`"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, change, line, said):
    with pytest.raises(ConfigurationError) as caught:
        load_config(write(tmp_path, GOOD.replace(*change)))
    assert said in caught.value.message
    assert caught.value.line == line


def test_one_database_is_at_one_site(tmp_path):
    text = GOOD + '[site.cork-1]\ndatabases = ["shop"]\n'
    with pytest.raises(ConfigurationError, match="at two sites"):
        load_config(write(tmp_path, text))


@pytest.mark.parametrize("origin", ["https://x/y", "a b", "a+b", ""])
def test_an_origin_that_a_note_cannot_carry_is_refused(tmp_path, origin):
    with pytest.raises(ConfigurationError, match="origin"):
        load_config(write(tmp_path, GOOD + f'[ledger]\norigin = "{origin}"\n'))


def test_workers_are_as_many_as_processors_unless_said(tmp_path):
    automatic = load_config(write(tmp_path, GOOD)).gateway
    assert automatic.workers == 0
    assert 1 <= automatic.worker_count <= 8
    said = load_config(write(tmp_path, GOOD.replace("port = 7000", "workers = 3"))).gateway
    assert said.worker_count == 3


OIDC = '[gateway.oidc]\nissuer = "https://i.example"\naudience = "gate"\n'


def test_the_tables_within_the_gateway(tmp_path):
    text = (
        'organisation = "Example"\n[gateway]\nport = 7000\n'
        "[gateway.authentication]\nfailures_before_delay = 2\n"
        '[gateway.client_certificates]\nca = "ca.pem"\n' + OIDC + 'jwks_url = "https://i.example/keys"\n'
    )
    config = load_config(write(tmp_path, text))
    assert (config.gateway.port, config.authentication.failures_before_delay) == (7000, 2)
    assert (config.client_certificates.ca, config.oidc.audience) == ("ca.pem", "gate")


@pytest.mark.parametrize(
    "text",
    [
        "[gateway.nothing]\nx = 1",
        "[gateway.authentication]\nfailures_before_delay = 0",
        "[gateway.authentication]\naddress_failures_before_delay = 0",
        "[gateway.authentication]\nlongest_delay_seconds = 0",
        '[gateway.client_certificates]\ncertificate = "perhaps"',
        '[gateway.client_certificates]\ncertificate = "required"',
        OIDC,
        OIDC + 'jwks_url = "http://i.example/keys"',
        OIDC + 'jwks_url = "https://i.example/keys"\njwks_file = "keys.json"',
        OIDC + 'jwks_file = "k"\nclock_skew_seconds = 301',
        OIDC + 'jwks_file = "k"\nlongest_lifetime_seconds = 0',
        OIDC + 'jwks_file = "k"\nprincipal_claim = ""',
        '[gateway.oidc]\nissuer = "x"\njwks_file = "k"',
    ],
)
def test_tables_within_the_gateway_that_do_not_hold(tmp_path, text):
    with pytest.raises(ConfigurationError) as error:
        load_config(write(tmp_path, f'organisation = "Example"\n{text}'))
    assert "ringfort.toml:" in str(error.value)


def test_the_silence_that_ends_a_run_has_a_least(tmp_path):
    assert load_config(write(tmp_path, GOOD)).transfers.silence_seconds == 60
    with pytest.raises(ConfigurationError, match=r"`transfers.silence_seconds` must be at least 5"):
        load_config(write(tmp_path, GOOD + "[transfers]\nsilence_seconds = 1\n"))
    with pytest.raises(ConfigurationError, match=r"`transfers.always_workers` must be true or false"):
        load_config(write(tmp_path, GOOD + '[transfers]\nalways_workers = "yes"\n'))

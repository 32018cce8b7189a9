"""Network zones: the longest network decides, and nothing else gives a country."""

import pytest

from ringfort.catalog.zones import Zone, Zones, load_zones
from ringfort.errors import ConfigurationError

TEN = '[[zone]]\nnetwork = "10.0.0.0/8"\n'
ZONES = Zones(
    (
        Zone("10.0.0.0/8", "IE"),
        Zone("10.66.0.0/16", "CN", "engineering"),
        Zone("2001:db8::/32", "DE"),
        Zone("0.0.0.0/0", "US"),
        Zone("2001:db8::42/128", "FR"),
    )
)


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("10.1.2.3", "IE"),
        ("10.66.2.3", "CN"),
        ("::ffff:10.66.2.3", "CN"),
        ("192.0.2.1", "US"),
        ("2001:db8::1", "DE"),
        ("2001:db8::42", "FR"),
        ("2001:db8::1%eth0", "DE"),
        ("2001:dead::1", ""),
        ("", ""),
        ("/tmp/.s.PGSQL.5432", ""),
        ("10.1.2", ""),
        ("010.1.2.3", ""),
    ],
)
def test_the_longest_network_decides(address, country):
    assert ZONES.country_of(address) == country


def test_no_zone_is_no_proof():
    assert Zones().country_of("127.0.0.1") == ""


def test_canonical_bytes_give_back_the_value():
    assert Zones.from_json(ZONES.to_json()) == ZONES
    assert len(ZONES.digest()) == 64
    for data in (b"", b"{}", ZONES.to_json() + b" ", b'{"zones":[{"network":"x"}]}'):
        with pytest.raises(ConfigurationError):
            Zones.from_json(data)


def test_a_file_is_read(tmp_path):
    path = tmp_path / "zones.toml"
    path.write_text('[[zone]]\nnetwork = "127.0.0.0/8"\ncountry = "IE"\nnote = "this machine"\n')
    assert load_zones(path) == Zones((Zone("127.0.0.0/8", "IE", "this machine"),))
    path.write_text("# nothing\n")
    assert load_zones(path) == Zones()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a = 1\n", 1, "unknown key `a`"),
        ('[zone]\nnetwork = "10.0.0.0/8"\n', 1, "[[zone]]"),
        ('[[zone]]\nnetwork = "10.0.0.0/8"\n', 1, "lacks `country`"),
        ('[[zone]]\nnetwork = "10.0.0.1/8"\ncountry = "IE"\n', 2, "not a network"),
        ('[[zone]]\ncountry = "IE"\nnetwork = "::ffff:10.0.0.0/104"\n', 3, "as IPv4"),
        ('[[zone]]\nnetwork = "10.0.0.0/8"\ncountry = "Ireland"\n', 3, "`Ireland`"),
        ('[[zone]]\nnetwork = "10.0.0.0/8"\ncountry = 5\n', 3, "must be a text"),
        (
            f'{TEN}country = "IE"\n[[zone]]\n#\ncountry = "US"\nnetwork = "10.0.0.0/8"',
            7,
            "twice",
        ),
        (
            '[[zone]]\nnetwork = "10.0.0.0/8"\ncountry = "IE"\n\n[[zone]]\ncity = "Cork"\n',
            6,
            "unknown key `city`",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_file_and_line(tmp_path, text, line, words):
    path = tmp_path / "zones.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_zones(path)
    assert words in caught.value.message
    assert caught.value.line == line

"""Certificates: right for their names, kept while they are good, made anew before they end."""

import datetime as dt
import stat

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from ringfort.sites.tls import VALID, ensure_tls, make_tls

NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
NAMES = ["db.example.eu", "localhost", "127.0.0.1", "::1"]


def verify(folder, name, when):
    ca = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    server = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
    builder = PolicyBuilder().store(Store([ca])).time(when)
    subject = (
        x509.IPAddress(__import__("ipaddress").ip_address(name)) if name[0] in "1:" else x509.DNSName(name)
    )
    return builder.build_server_verifier(subject).verify(server, [])


@pytest.mark.parametrize("name", NAMES)
def test_the_certificate_stands_for_its_names(tmp_path, name):
    make_tls(tmp_path, NAMES, now=NOW)
    assert len(verify(tmp_path, name, NOW)) == 2
    assert {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()} == dict.fromkeys(
        ("ca.pem", "server.pem", "server.key"), 0o600
    )


def test_it_stands_for_no_other_name_and_not_for_ever(tmp_path):
    make_tls(tmp_path, NAMES, now=NOW)
    for name, when in (("evil.example", NOW), ("localhost", NOW + VALID + dt.timedelta(days=1))):
        with pytest.raises(x509.verification.VerificationError):
            verify(tmp_path, name, when)


def test_good_files_stay_and_others_are_made_anew(tmp_path):
    def kept(names=NAMES, now=NOW):
        before = (tmp_path / "server.pem").read_bytes()
        ensure_tls(tmp_path, names, now=now)
        return (tmp_path / "server.pem").read_bytes() == before

    ensure_tls(tmp_path, NAMES, now=NOW)
    assert kept()
    assert kept(now=NOW + VALID / 2)
    assert not kept(now=NOW + VALID)
    assert not kept(names=["other.example"])
    assert kept(names=["other.example"])
    (tmp_path / "ca.pem").write_text("damaged")
    assert not kept(names=["other.example"])
    (tmp_path / "server.key").unlink()
    assert not kept(names=["other.example"])
    verify(tmp_path, "other.example", NOW)

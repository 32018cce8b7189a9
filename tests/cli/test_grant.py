"""`ringfort request` to `ringfort review` on a deployment that is up."""

import json

import pytest
from tests.live_deployment import ANALYST, OPERATOR, SUPPORT, Who, fresh_word

ASK = ("--purpose", "customer-support", "--ticket", "T-1", "--table", "demo.vault", "--for", "10m")


@pytest.fixture(scope="module")
def approver(live):
    """A registered approver in the region."""
    who = live.register(Who(fresh_word(), "IE", "approver"))
    yield who
    live.ringfort("principal", "remove", "DIR", who.name)


def listed(live, *options):
    shown = json.loads(live.ringfort("grants", "DIR", "--json", *options).stdout)["grants"]
    return {each["grant"]: each for each in shown}


def test_a_grant_is_asked_for_approved_and_revoked(live, approver):
    asked = live.acted("request", *ASK, "--reason", "a refund", who=SUPPORT)
    assert (asked["state"], asked["needed"], asked["tables"]) == ("requested", 1, ["demo.vault"])
    grant = asked["grant"]
    assert listed(live)[grant] == asked
    active = live.acted("approve", grant, who=approver)
    assert (active["state"], active["approvers"]) == ("active", [approver.name])
    assert active["ends"] > active["starts"]
    said = live.act("revoke", grant, who=SUPPORT)
    assert (said.returncode, said.stdout) == (0, f"revoked {grant}\n")
    assert grant not in listed(live)
    assert listed(live, "--all")[grant]["state"] == "revoked"
    (entry,) = [each for each in live.entries("GrantApproved") if each["grant"] == grant]
    assert entry["approver"] == approver.name


def test_a_request_is_told_what_comes_next_and_may_be_denied(live, approver):
    said = live.act("request", *ASK, who=SUPPORT)
    assert said.returncode == 0
    first, second = said.stdout.splitlines()
    grant = first.split()[1].rstrip(":")
    assert "needs 1 approval until" in first
    assert f"ringfort approve {live.folder} {grant} --as NAME" in second
    table = live.ringfort("grants", "DIR").stdout
    assert grant in table
    denied = live.act("deny", grant, "--reason", "closed", who=approver)
    assert denied.stdout == f"denied {grant}\n"
    again = live.act("approve", grant, who=approver)
    assert (again.returncode, "is denied" in again.stderr) == (2, True)


def test_nobody_acts_in_anothers_name(live, approver):
    grant = live.acted("request", *ASK, who=SUPPORT)["grant"]
    wrong = live.act("approve", grant, who=approver, password=SUPPORT.password + "x")
    assert wrong.returncode == 1
    assert "error: that is not the password" in wrong.stderr
    assert "hint: " in wrong.stderr
    unknown = live.act("approve", grant, who=Who("nobody", "IE", "approver"))
    assert unknown.stderr == wrong.stderr.replace(approver.name, "nobody")
    nothing = live.ringfort("approve", "DIR", grant, "--as", approver.name)
    assert (nothing.returncode, "--password-stdin" in nothing.stderr) == (2, True)
    assert listed(live)[grant]["state"] == "requested"
    own = live.act("approve", grant, who=SUPPORT)
    assert (own.returncode, "their own" in own.stderr) == (1, True)
    other = live.act("approve", grant, who=OPERATOR)
    assert (other.returncode, "policy does not permit" in other.stderr) == (1, True)
    live.acted("revoke", grant, who=SUPPORT)


def test_the_glass_is_broken_and_reviewed(live, approver):
    broken = live.acted("break-glass", *ASK, "--reason", "payments fail", who=SUPPORT)
    assert (broken["state"], broken["break_glass"], broken["outcome"]) == ("active", True, "")
    assert broken["review_due"] > broken["ends"]
    grant = broken["grant"]
    own = live.act("review", grant, "--outcome", "justified", who=SUPPORT)
    assert own.returncode == 1
    reviewed = live.act("review", grant, "--outcome", "unjustified", who=approver)
    assert reviewed.stdout == f"reviewed {grant}: unjustified\n"
    assert listed(live, "--all")[grant]["state"] == "revoked"
    refused = live.act("break-glass", *ASK, "--reason", "curious", who=ANALYST)
    assert (refused.returncode, "policy does not permit" in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"--for": "10 minutes"}, "not a duration"),
        ({"--for": "30d"}, "at most"),
        ({"--table": "vault"}, "no table or dataset"),
        ({"--purpose": "a b"}, "purpose"),
        ({"--reason": "for jo@example.com"}, "look like an e-mail address"),
    ],
)
def test_what_is_no_request_is_refused_with_a_hint(live, changes, word):
    options = dict(zip(ASK[::2], ASK[1::2], strict=True)) | changes
    result = live.act("request", *(each for pair in options.items() for each in pair), who=SUPPORT)
    assert result.returncode == 2
    assert word in result.stderr
    assert "hint: " in result.stderr


def test_the_ledger_verifies_with_grants_in_it(live):
    assert live.ringfort("ledger", "verify", "DIR").returncode == 0

"""`ringfort principal` and `ringfort policy apply`, and what they do to a gateway that is up."""

import json

import psycopg
import pytest
from tests.live_deployment import ANALYST, SUPPORT, Who, fresh_word, run_ringfort, wait_for

EMPLOYED = ("--employer", "Example")


@pytest.fixture
def name():
    return fresh_word()


@pytest.fixture
def newcomer(live, name):
    """A registered analyst; gone afterwards if the test did not remove them."""
    who = Who(name, "US", "analyst", "product-analytics", "first password")
    done = add(live, who)
    assert done.returncode == 0, done.stderr
    yield who
    live.ringfort("principal", "remove", "DIR", name)


def add(live, who):
    facts = ("--country", who.country, "--role", who.role, *EMPLOYED)
    return live.ringfort(
        "principal", "add", "DIR", who.name, *facts, "--password-stdin", stdin=f"{who.password}\n"
    )


def ended(connection):
    """The error with which an open session ended, None while it is open."""
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError as error:
        return error
    return None


def cut_off(pgconn):
    """Whether the server has closed a connection that has sent a statement; its words if it has."""
    try:
        pgconn.consume_input()
    except psycopg.OperationalError:
        return True
    return pgconn.status == psycopg.pq.ConnStatus.BAD


def test_somebody_who_was_added_connects_at_once(live, newcomer):
    with live.connect(newcomer) as connection:
        assert connection.execute("SELECT count(*) FROM vault").fetchone() == (8,)
    (entry,) = [each for each in live.entries("PrincipalRegistered") if each["name"] == newcomer.name]
    assert (entry["country"], entry["employer"], entry["role"]) == ("US", "Example", "analyst")
    files = [each for each in live.folder.rglob("*") if each.is_file() and each.stat().st_size < 10**8]
    assert not any(newcomer.password.encode() in each.read_bytes() for each in files)


def test_a_password_that_is_made_is_printed_once_and_works(live, name):
    done = live.ringfort("principal", "add", "DIR", name, "--country", "IE", "--role", "support", *EMPLOYED)
    assert done.returncode == 0
    said, password = done.stdout.splitlines()
    assert said == f"registered {name} (support, IE)"
    who = Who(name, "IE", "support", "customer-support", password.removeprefix("password "))
    with live.connect(who) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert live.ringfort("principal", "remove", "DIR", name).stdout == f"removed {name}\n"


def test_a_manager_is_somebody_who_is_registered(live, name):
    facts = ("--country", "IE", "--role", "support", *EMPLOYED)
    refused = live.ringfort("principal", "add", "DIR", name, *facts, "--manager", "nobody")
    assert (refused.returncode, "`nobody` is not registered" in refused.stderr) == (2, True)
    assert live.ringfort("principal", "add", "DIR", name, *facts, "--manager", "aoife").returncode == 0
    shown = json.loads(live.ringfort("principal", "list", "DIR", "--json").stdout)["principals"]
    assert [each["manager"] for each in shown if each["name"] == name] == ["aoife"]
    assert live.ringfort("principal", "remove", "DIR", name).returncode == 0


def test_the_list_is_that_of_the_ledger(live, newcomer):
    shown = json.loads(live.ringfort("principal", "list", "DIR", "--json").stdout)["principals"]
    facts = {"name": newcomer.name, "country": "US", "employer": "Example", "role": "analyst"}
    assert facts | {"manager": "", "certificate": "", "token": ""} in shown
    assert [each["name"] for each in shown] == sorted(each["name"] for each in shown)
    assert newcomer.name in live.ringfort("principal", "list", "DIR").stdout


def test_a_new_password_replaces_the_old_one_and_ends_nothing(live, newcomer):
    with live.connect(newcomer) as connection:
        done = live.ringfort(
            "principal", "password", "DIR", newcomer.name, "--password-stdin", stdin="second\n"
        )
        assert done.stdout == f"changed the password of {newcomer.name}\n"
        with pytest.raises(psycopg.OperationalError) as refused:
            live.connect(newcomer)
        assert "password authentication failed" in str(refused.value)
        with live.connect(newcomer, password="second") as again:
            assert again.execute("SELECT 1").fetchone() == (1,)
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_whoever_is_removed_is_out(live, newcomer):
    """Idle, in a transaction with a cursor, and in the middle of a statement."""
    with live.connect(newcomer) as idle, live.connect(newcomer, autocommit=False) as cursor:
        cursor.execute("DECLARE c CURSOR FOR SELECT * FROM views")
        assert len(cursor.execute("FETCH 2 FROM c").fetchall()) == 2
        with live.connect(SUPPORT) as another:
            busy = psycopg.connect(live.dsn(newcomer), autocommit=True)
            busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 900000000)")
            done = live.ringfort("principal", "remove", "DIR", newcomer.name)
            assert done.returncode == 0
            for connection in (idle, cursor):
                error = wait_for(lambda held=connection: ended(held))
                assert error.sqlstate == "57P01"
                assert "the session ends" in str(error)
            wait_for(lambda: cut_off(busy.pgconn))
            busy.close()
            assert ended(another) is None
    with pytest.raises(psycopg.OperationalError):
        live.connect(newcomer)
    outcomes = [each["outcome"] for each in live.entries("SessionEnded")]
    assert outcomes.count("ground changed") >= 3
    with psycopg.connect(live.admin_dsn()) as admin:
        left = "SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%900000000%'"
        wait_for(lambda: admin.execute(f"{left} AND pid <> pg_backend_pid()").fetchone() is None)


def test_a_changed_registration_counts_for_the_next_session(live, newcomer):
    with live.connect(newcomer) as connection:
        assert live.ringfort("principal", "remove", "DIR", newcomer.name).returncode == 0
        wait_for(lambda: ended(connection))
    changed = Who(newcomer.name, "IE", "support", "customer-support", newcomer.password)
    assert add(live, changed).returncode == 0
    with live.connect(changed) as connection:
        assert len(connection.execute("SELECT h_email FROM vault").fetchall()) == 8


USER = ["--country", "US", "--role", "analyst"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["add", "DIR", "dana", *USER, *EMPLOYED], "`dana` is registered already"),
        (["add", "DIR", "x", *USER, *EMPLOYED, "--country", "usa"], "`usa` is not a country code"),
        (["add", "DIR", "x", *USER, *EMPLOYED, "--role", "An Analyst"], "is not a role name"),
        (["add", "DIR", "../x", *USER, *EMPLOYED], "is not a principal's name"),
        (["add", "DIR", "x", *USER, "--employer", " "], "the employer is not a name"),
        (["add", "DIR", "x", *USER], "--employer"),
        (["add", "DIR", "x", *USER, *EMPLOYED, "--password-stdin"], "no password"),
        (["password", "DIR", "nobody"], "`nobody` is not registered"),
        (["remove", "DIR", "nobody"], "`nobody` is not registered"),
        (["remove", "DIR"], "NAME"),
        (["list", "/nowhere"], "/nowhere"),
        (["grant", "DIR", "x"], "grant"),
    ],
)  # fmt: skip
def test_wrong_usage_is_told_and_changes_nothing(live, arguments, says):
    before = live.ringfort("principal", "list", "DIR", "--json").stdout
    done = live.ringfort("principal", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert live.ringfort("principal", "list", "DIR", "--json").stdout == before
    with live.connect(ANALYST) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_without_a_subcommand_it_helps():
    done = run_ringfort("principal")
    assert done.returncode in {0, 2}
    assert "add" in done.stdout + done.stderr


@pytest.fixture
def policies(live):
    """The policies may be changed; they are put back and applied again."""
    path = live.folder / "policy" / "staff.cedar"
    text = path.read_text()
    yield path
    path.write_text(text)
    assert live.ringfort("policy", "apply", "DIR").returncode == 0


def test_a_policy_that_is_applied_ends_sessions_and_new_ones_follow_it(live, policies):
    more = (
        '@id("analysts-see-shelves-hidden")\n'
        "forbid(principal, action, resource)\n"
        'when { principal.role == "analyst" && resource.kind == "category" };\n'
    )
    with live.connect(ANALYST) as analyst, live.connect(SUPPORT) as support:
        assert analyst.execute("SELECT count(label) FROM vault").fetchone() == (8,)
        policies.write_text(policies.read_text() + more)
        assert analyst.execute("SELECT count(label) FROM vault").fetchone() == (
            8,
        )  # a file alone decides nothing
        done = live.ringfort("policy", "apply", "DIR")
        assert done.returncode == 0, done.stderr
        for connection in (analyst, support):
            error = wait_for(lambda held=connection: ended(held))
            assert error.sqlstate == "57P01"
    with live.connect(ANALYST) as analyst:
        with pytest.raises(psycopg.errors.UndefinedColumn):
            analyst.execute("SELECT label FROM vault")
        assert analyst.execute("SELECT count(*) FROM vault").fetchone() == (8,)
    activated = live.entries("PolicyActivated")
    assert activated[-1]["bundle"] != activated[0]["bundle"]


def test_a_policy_that_does_not_hold_is_not_applied(live, policies):
    policies.write_text(policies.read_text() + "permit(principal, action, resource) when { 1 };\n")
    before = live.entries("PolicyActivated")
    with live.connect(ANALYST) as analyst:
        done = live.ringfort("policy", "apply", "DIR")
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {policies}:")
        assert analyst.execute("SELECT count(label) FROM vault").fetchone() == (8,)
    assert live.entries("PolicyActivated") == before


def test_two_sources_for_a_place_give_the_stricter(live):
    """dana is registered in the US and sits on a network of IE: what is restricted stays hidden."""
    ticket = f"T-{fresh_word(12)}"
    with live.connect(ANALYST, ticket=ticket) as connection, pytest.raises(psycopg.errors.UndefinedColumn):
        connection.execute("SELECT email FROM people")
    (opened,) = [each for each in live.entries("SessionOpened") if each["ticket"] == ticket]
    assert {each["source"]: each["country"] for each in opened["viewer"]} == {
        "registration": "US",
        "network zone": "IE",
    }
    assert opened["viewing_country"] == "ZZ"
    assert opened["storage_country"] == "IE"


def test_credentials_are_registered_listed_and_removed(live, name):
    facts = ("--country", "IE", "--role", "engineer", *EMPLOYED)
    subject = f"san:dns:{name}.example"
    done = live.ringfort(
        "principal", "add", "DIR", name, *facts, "--no-password", "--certificate", subject.upper().lower()
    )
    assert (done.returncode, "password" in done.stdout) == (0, False), done.stderr
    try:
        assert not (live.folder / "secrets" / "scram" / f"{name}.json").exists()
        other = live.ringfort("principal", "credential", "DIR", SUPPORT.name, "--certificate", subject)
        assert other.returncode == 2
        assert f"stands for `{name}` already" in other.stderr
        assert live.ringfort("principal", "credential", "DIR", name, "--token", "sub-1").returncode == 0
        listed = json.loads(live.ringfort("principal", "list", "DIR", "--json").stdout)["principals"]
        (mine,) = [each for each in listed if each["name"] == name]
        assert (mine["certificate"], mine["token"]) == (subject, "sub-1")
        assert live.ringfort("principal", "credential", "DIR", name, "--remove", "token").returncode == 0
        assert live.ringfort("principal", "credential", "DIR", name, "--remove", "token").returncode == 2
        assert live.ringfort("principal", "credential", "DIR", name).returncode == 2
    finally:
        live.ringfort("principal", "remove", "DIR", name)


@pytest.mark.parametrize(
    "options",
    [
        ("--certificate", "somebody"),
        ("--certificate", "san:ip:192.0.2.1"),
        ("--token", "a\nb"),
        ("--no-password",),
        ("--no-password", "--password-stdin", "--token", "x"),
    ],
)
def test_credentials_that_are_none(live, name, options):
    facts = ("--country", "IE", "--role", "engineer", *EMPLOYED)
    done = live.ringfort("principal", "add", "DIR", name, *facts, *options, stdin="x\n")
    assert done.returncode == 2, done.stdout
    assert "hint" in done.stderr

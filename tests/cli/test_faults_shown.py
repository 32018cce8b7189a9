"""What operators see of tables that cannot be read, in `ringfort status` and `ringfort site audit`."""

import json

import psycopg
import pytest
from tests.live_deployment import ANALYST, deployment, fresh_purpose, wait_for


@pytest.fixture(scope="module")
def made():
    with deployment(people=50) as live:
        yield live.start()


def faults(live):
    told = json.loads(live.ringfort("status", "DIR", "--json").stdout)
    return {each["table"]: each for each in told["databases"][0]["faults"]}


def test_operators_see_which_table_cannot_be_read_and_since_when(made):
    """As text and as JSON; the database is served all the while."""
    with psycopg.connect(made.admin_dsn()) as admin:
        admin.execute("LOCK TABLE views, vault IN ACCESS EXCLUSIVE MODE")
        with made.connect(ANALYST, purpose=fresh_purpose()) as session:
            session.execute("SELECT count(*) FROM people")
        wait_for(lambda: {"public.views", "public.vault"} <= faults(made).keys(), seconds=300)
        for each in faults(made).values():
            assert "lock" in each["reason"]
            assert each["since"] > 1_600_000_000
        text = made.ringfort("status", "DIR").stdout
        assert "served      demo" in text
        assert "fault       public.vault cannot be read: " in text
        assert ", since 20" in text
        audited = made.ringfort("site", "audit", "DIR")
        assert audited.returncode == 0
        assert "fault       public.views cannot be read: " in audited.stdout
        told = json.loads(made.ringfort("site", "audit", "DIR", "--json").stdout)
        assert {"public.views", "public.vault"} <= {each["table"] for each in told["faults"]}
        assert "faults" not in made.ready_file.read_text()
        admin.rollback()
    wait_for(lambda: not faults(made), seconds=300)

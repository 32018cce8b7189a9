"""What the tests of clients in other languages share: facts for them as JSON, and their results.

Such a client is one program that does every operation in turn and answers which went wrong. It is told who it
is, where the gateway is, and one row of `vault` in a manner that JSON can say.
"""

import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.live_deployment import ANALYST, DATABASE, MARKERS, OVERSEER, SUPPORT, environment

REPOSITORY = Path(__file__).parent.parent.parent
TYPES = {
    "h_text": "text", "h_varchar": "varchar", "h_email": "text", "h_bigint": "bigint", "h_numeric": "numeric",
    "h_float": "float8", "h_date": "date", "h_moment": "timestamptz", "h_uuid": "uuid", "h_inet": "inet",
    "h_json": "jsonb", "h_bytes": "bytea", "h_array": "text[]",
}  # fmt: skip


def facts(live):
    """Everything that a client needs to know."""
    row = {name: MARKERS[name][0] for name in TYPES}
    row |= {name: str(row[name]) for name in ("h_bigint", "h_date", "h_uuid")}
    row["h_json"] = json.loads(row["h_json"])
    row["h_bytes"] = row["h_bytes"].hex()
    milliseconds = (row["h_moment"] - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1)
    row["h_moment"] = row["h_moment"].isoformat()
    host, port = live.address
    ca_file = live.folder / "secrets" / "tls" / "ca.pem"
    people = {"support": SUPPORT, "analyst": ANALYST, "overseer": OVERSEER}
    return {
        "host": host,
        "port": port,
        "database": DATABASE,
        "ca": ca_file.read_text(),
        "ca_file": str(ca_file),
        "row": row,
        "milliseconds": milliseconds,  # of h_moment, for clients that know no smaller unit
        "types": TYPES,
        **{
            role: {"user": who.name, "password": who.password, "purpose": who.purpose}
            for role, who in people.items()
        },
    }


def documented(live, language):
    """The examples of docs/clients.md in `language` (empty: none given), for this gateway and the analyst."""
    host, port = live.address
    names = {
        "gate.example.eu": host,
        "6432": str(port),
        "shop": DATABASE,
        "ca.pem": str(live.folder / "secrets" / "tls" / "ca.pem"),
    }
    page = (REPOSITORY / "docs" / "clients.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    pattern = "|".join(map(re.escape, names))
    return [
        re.sub(pattern, lambda each: names[each.group()], text) for kind, text in blocks if kind == language
    ]


def results(command, live, folder):
    """What the client says of each operation: an empty text, or what went wrong."""
    done = subprocess.run(
        command,
        input=json.dumps(facts(live)),
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(),
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)

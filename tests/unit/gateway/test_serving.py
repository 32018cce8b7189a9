"""What operators are told of tables that cannot be read and pseudonyms that are being prepared."""

from ringfort.gateway.serving import SHOWN_FILLS, described_waits


def fault(table, reason, since, *, readable=False, column="id"):
    return {"table": table, "column": column, "reason": reason, "since": since, "readable": readable}


def test_a_table_is_named_once_a_reason_since_the_first_of_it_however_many_domains_wait():
    faults = [
        fault("public.far", "no answer", 1_000_060 + number, column=column)
        for number in range(30)
        for column in ("id", "person_id")
    ]
    faults += [
        fault("public.far", "no answer", 1_000_000),
        fault("public.far", "its lock was not to be had", 5),
    ]
    faults += [
        fault("public.far", "no answer", 1_000_000, readable=True),
        fault("public.near", "no answer", None),
    ]
    assert described_waits(faults, []) == [
        "fault       public.far cannot be read: no answer, since 1970-01-12T13:46:40Z",
        "fault       public.far cannot be read: its lock was not to be had, since 1970-01-01T00:00:05Z",
        "fault       public.far keeps what it had: no answer, since 1970-01-12T13:46:40Z",
        "fault       public.near cannot be read: no answer",
    ]


def test_of_hundreds_of_columns_those_that_are_worked_on_come_first_and_the_rest_is_counted():
    waits = [
        {"table": f"public.t{number}", "column": "id", "reason": "", "done": 0, "expected": -1}
        for number in range(800)
    ]
    works = {"table": "public.people", "column": "id", "reason": "", "done": 5, "expected": 10}
    lines = described_waits([], [*waits, works])
    assert lines[0] == "fill        public.people.id: 5 of about 10 keys"
    assert len(lines) == SHOWN_FILLS + 1
    assert "781 more" in lines[-1]

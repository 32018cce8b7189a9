"""docs/pseudonym-methods.md: its program runs, its examples are ours, its table is the code's."""

import re
from pathlib import Path

import pyarrow as pa

from ringfort.catalog.model import KINDS
from ringfort.privacy import methods
from ringfort.privacy.epoch_keys import NEWEST, EpochSecret
from ringfort.privacy.pseudonym import Domain

PAGE = (Path(__file__).parents[3] / "docs" / "pseudonym-methods.md").read_text()


def test_the_program_for_other_tools_runs():
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(program, "docs/pseudonym-methods.md", "exec"), {})


def test_its_examples_are_what_we_make():
    def made(value, method, kind):
        found = methods.pseudonymise(
            pa.array([value]),
            method=method,
            kind=kind,
            secret=EpochSecret(bytes(range(32)), NEWEST),
            domain=Domain("ACME Ltd", "analytics", 1),
            identity_space="shop.customers",
        )[0].as_py()
        return found.hex() if method == "cmac" else found

    for value, method, kind in (
        (17850, "cmac", "key"),
        ("maeve.k@example.ie", "cmac", "email"),
        ("+353 85 123 4567", "ff1", "phone"),
        ("4111 1111 1111 1111", "ff1", "card"),
        ("123-4567", "ff1", "code"),
        ("maeve.k@example.ie", "siv", "email"),
    ):
        assert made(value, method, kind) in PAGE


def test_its_table_of_kinds_is_complete_and_true():
    seen = set()
    for line in PAGE.splitlines():
        cells = [each.strip() for each in line.strip("|").split("|")]
        kinds = re.findall("`([a-z_]+)`", cells[0])
        if len(cells) == 4 and kinds and set(kinds) <= KINDS and cells[1] in {"yes", "no"}:
            seen |= set(kinds)
            for kind in kinds:
                for method, cell in zip(methods.METHODS, cells[1:], strict=True):
                    assert (kind in methods.kinds_of(method)) == (cell != "no"), (kind, method)
    assert seen == KINDS

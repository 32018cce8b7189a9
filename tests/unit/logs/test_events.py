"""Every log line in the source names a declared event, and says it with the level that is documented."""

import ast
from pathlib import Path

import ringfort
from ringfort.logs.events import EVENTS, LEVEL_OF
from ringfort.logs.line import LEVELS

SOURCE = Path(ringfort.__file__).parent
METHODS = {"debug", "info", "warning", "error", "critical", "exception", "log"}
ADD = "declare it in src/ringfort/logs/events.py and run `python -m ringfort.cli.reference`"


def calls():
    """Every call of a logger: place, method, its event or None."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = ast.unparse(node.func.value)
            if node.func.attr in METHODS and (owner == "LOG" or "getLogger" in owner):
                extra = next((each.value for each in node.keywords if each.arg == "extra"), None)
                event = None
                if isinstance(extra, ast.Dict):
                    for key, value in zip(extra.keys, extra.values, strict=True):
                        if ast.unparse(key) == "'event'" and isinstance(value, ast.Constant):
                            event = value.value
                yield f"{path.relative_to(SOURCE)}:{node.lineno}", node, event


CALLS = list(calls())


def test_lines_are_found():
    assert len(CALLS) > 20


def test_every_line_names_a_declared_event_with_its_level():
    problems = []
    for place, node, event in CALLS:
        said = "error" if node.func.attr == "exception" else node.func.attr
        if event is None:
            if said != "debug":
                problems.append(f'{place} names no event: extra={{"event": "short-name"}}')
        elif event not in LEVEL_OF:
            problems.append(f"{place} says `{event}`, which is not declared")
        elif said != LEVEL_OF[event]:
            problems.append(f"{place} says `{event}` as {said}, declared is {LEVEL_OF[event]}")
    assert not problems, "\n".join([*problems, ADD])


def test_every_line_is_a_template_and_takes_exceptions_as_they_are():
    """The text of an exception can hold a value; the exception itself is told by class and SQLSTATE."""
    problems = []
    for place, node, _ in CALLS:
        template, *arguments = node.args
        if not isinstance(template, ast.Constant):
            problems.append(f"{place}: the words are no constant text")
        problems += [
            f"{place}: give the exception itself instead of `{each}`"
            for each in map(ast.unparse, arguments)
            if each.startswith(("str(error", "repr(", "error.args", "error.diag", "traceback."))
        ]
    assert not problems, "\n".join(problems)


def test_nothing_in_a_process_writes_to_standard_error_by_itself():
    """Commands talk to a person; everything else logs."""
    for path in sorted(SOURCE.rglob("*.py")):
        if path.relative_to(SOURCE).parts[0] in {"cli", "demo"}:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in {"print", "sys.stderr.write", "traceback.print_exc"}, (path, node.lineno)


def test_events_are_named_once_and_plainly():
    assert len({each.name for each in EVENTS}) == len(EVENTS)
    for each in EVENTS:
        assert each.name.replace("-", "").isalnum(), each
        assert each.name == each.name.lower(), each
        assert each.level in LEVELS, each
        assert len(each.meaning) > 10, each


def test_every_event_is_said_somewhere():
    own = {"slow", "slow-over", "fault", "library", "log-lines-lost", "log-lines-omitted", "log-file-failed"}
    said = {event for _, _, event in CALLS}
    assert {each.name for each in EVENTS} - said - own == set()

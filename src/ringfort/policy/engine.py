"""Cedar, behind one door: the only importer of cedarpy.

Compiles a schema and policies once, validates them against each other in Cedar's strict mode with every fault
placed in file and line, and answers batches of requests. It knows nothing of columns or forms.

Invariants:
- every policy carries a unique `@id`, and answers name policies by it, never by Cedar's `policy0`;
- an answer is `allowed` only if Cedar allowed it *and* reported no error: Cedar skips a policy that fails,
  forbids included, so any error makes the request a deny that carries the reason;
- `Engine.authorise` never raises: what Cedar cannot even read is a deny, too.

Leaves out templates (they would authorise nothing until linked) and partial evaluation.

Spec: https://docs.cedarpolicy.com/ (Cedar 4); decisions as in "Authorization", error semantics included.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cedarpy

from ringfort.errors import ConfigurationError
from ringfort.policy.distinctions import distinctions
from ringfort.policy.source import split_policies, syntax_error_line, too_complex

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ringfort.policy.source import Segment, SourceFile

CEDARPY_VERSION = version("cedarpy")

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_POSITIONAL = re.compile(r"`policy([0-9]+)`")
_FAILED = re.compile(r"^error while evaluating policy `policy([0-9]+)`: (.*)$", re.DOTALL)
_UNFINISHED = "unexpected end of input"
_ERROR_LIMIT = 300  # characters of one Cedar message that are kept

Entity = dict[str, Any]
"""An entity in Cedar's JSON form: uid, attrs, parents."""
Uid = dict[str, str]
"""An entity uid in Cedar's JSON form: type and id."""


@dataclass(frozen=True)
class Policy:
    """One policy: its `@id`, its effect (`permit` or `forbid`), where and how it is written."""

    id: str
    effect: str
    source: Segment
    tree: Mapping[str, Any] = field(compare=False, repr=False)
    """Cedar's JSON form of the policy, https://docs.cedarpolicy.com/policies/json-format.html"""


@dataclass(frozen=True)
class Query:
    """One request to Cedar."""

    principal: Uid
    action: Uid
    resource: Uid
    context: str
    """JSON object"""


@dataclass(frozen=True)
class Answer:
    """What Cedar said. `policies` are the permits if allowed, else the forbids that fired (may be none)."""

    allowed: bool
    policies: tuple[str, ...]
    errors: tuple[str, ...]


@dataclass(frozen=True)
class Entities:
    """Entities ready to be asked about; without a handle every request about them is denied for `fault`."""

    handle: cedarpy.Entities | None
    fault: str


@dataclass(frozen=True)
class Compilation:
    """The outcome of compiling: an engine if nothing is wrong, else every fault found."""

    engine: Engine | None
    problems: tuple[ConfigurationError, ...]


class Engine:
    """A compiled schema and policy set. Immutable; `compile_engine` makes one."""

    def __init__(self, schema: cedarpy.Schema, policies: tuple[Policy, ...]) -> None:
        self.policies = policies
        self._schema = schema
        self._set = cedarpy.PolicySet.from_str("\n".join(each.source.text for each in policies))
        self.distinctions = distinctions([each.tree for each in policies])

    def entities(self, entities: Sequence[Entity]) -> Entities:
        """Entities to ask about, parsed once and checked against the schema; never raises."""
        try:
            text = json.dumps(list(entities))
            return Entities(cedarpy.Entities.from_json_str(text, self._schema), "")
        except (ValueError, TypeError, RecursionError) as error:
            return Entities(None, str(error))

    def authorise(self, entities: Entities, queries: Sequence[Query]) -> list[Answer]:
        """An answer for each query, in order; never raises."""
        if entities.handle is None:
            return _denied(queries, ValueError(entities.fault))
        if not queries:
            return []
        try:
            results = cedarpy.is_authorized_batch(
                [_plain(each) for each in queries], self._set, entities.handle, self._schema
            )
        except Exception as error:  # noqa: BLE001 - whatever stops Cedar from answering is a deny
            return _denied(queries, error)
        except BaseException as error:  # a panic inside Cedar is not an `Exception`
            if type(error).__name__ != "PanicException":
                raise
            return _denied(queries, error)
        if len(results) != len(queries):
            return _denied(queries, RuntimeError("Cedar left requests unanswered"))
        return [self._answer(each) for each in results]

    def faults(self, entities: Sequence[Entity], queries: Sequence[Query]) -> list[str]:
        """Why the schema does not admit these entities and queries; empty if it does."""
        answers = self.authorise(self.entities(entities), queries)
        return [error for answer in answers for error in answer.errors if not error.startswith("policy `")]

    def _answer(self, result: cedarpy.AuthzResult) -> Answer:
        errors = tuple(self._readable(each) for each in result.diagnostics.errors)
        policies = tuple(sorted(self._id(each) for each in result.diagnostics.reasons))
        if result.allowed and errors:
            return Answer(False, (), errors)
        return Answer(result.allowed, policies, errors)

    def _id(self, positional: str) -> str:
        return self.policies[int(positional.removeprefix("policy"))].id

    def _readable(self, error: str) -> str:
        failed = _FAILED.match(error)
        if failed is None:
            return _shorten(_POSITIONAL.sub(lambda found: f"`{self._id(found.group(1))}`", error))
        return f"policy `{self._id(failed.group(1))}` failed: {_shorten(failed.group(2))}"


def compile_engine(
    schema: SourceFile, files: Sequence[SourceFile], folder: Path | None = None
) -> Compilation:
    """Compile and validate; `folder` is put before the file names in messages."""
    problems: list[ConfigurationError] = []
    handle = _compile_schema(schema, folder, problems)
    policies: list[Policy] = []
    seen: dict[str, Segment] = {}
    for file in files:
        for segment in split_policies(file):
            policy = _compile_policy(segment, folder, problems)
            if policy is None:
                continue
            first = seen.setdefault(policy.id, segment)
            if first is not segment:
                where = f"{first.file}:{first.line}"
                problems.append(
                    _problem(
                        f"policy id `{policy.id}` is already used at {where}",
                        segment,
                        folder,
                        hint="give each policy an @id of its own: people find the policy by it",
                    )
                )
            policies.append(policy)
            if handle is not None:
                problems.extend(_validate(policy, handle, folder))
    if handle is None or problems:
        return Compilation(None, tuple(problems))
    return Compilation(Engine(handle, tuple(policies)), ())


def _compile_schema(
    schema: SourceFile, folder: Path | None, problems: list[ConfigurationError]
) -> cedarpy.Schema | None:
    path = _path(schema.name, folder)
    nested = too_complex(schema.text, brackets="()[]{}<>")
    if "nested" in nested:
        problems.append(ConfigurationError(f"not a valid Cedar schema: {nested}", path=path))
        return None
    try:
        return cedarpy.Schema.from_str(schema.text)
    except ValueError as error:
        text = str(error)
    line = syntax_error_line(schema.text, 1, lambda prefix: _continues(cedarpy.Schema.from_str, prefix))
    unknown = re.search(r"failed to resolve type[s]?: (\w+)", text)
    if unknown:
        found = [number for number, each in enumerate(schema.text.splitlines(), 1) if unknown[1] in each]
        line = found[-1] if found else line
    problems.append(
        ConfigurationError(
            f"not a valid Cedar schema: {_shorten(text.removeprefix('error parsing schema: '))}",
            path=path,
            line=line,
        )
    )
    return None


def _compile_policy(
    segment: Segment, folder: Path | None, problems: list[ConfigurationError]
) -> Policy | None:
    refused = too_complex(segment.text)
    if refused:
        hint = 'write several policies; a set such as ["IE", "DE"] may be as long as you like'
        problems.append(_problem(refused, segment, folder, hint=hint))
        return None
    try:
        templates = cedarpy.PolicySet.from_str(segment.text).templates()
        document = json.loads(cedarpy.policies_to_json_str(segment.text))
    except ValueError as error:
        line = syntax_error_line(
            segment.text, segment.line, lambda prefix: _continues(cedarpy.PolicySet.from_str, prefix)
        )
        problems.append(
            _problem(
                f"not a valid Cedar policy: {_shorten(str(error))}",
                segment,
                folder,
                line=line,
                hint="a missing `;` or bracket before this place is the usual cause",
            )
        )
        return None
    if templates:
        problems.append(
            _problem(
                "policy is a template and would decide nothing",
                segment,
                folder,
                hint="write the principal or resource in place of the ?slot",
            )
        )
        return None
    (tree,) = document["staticPolicies"].values()
    name = tree.get("annotations", {}).get("id")
    if not name:
        problems.append(
            _problem(
                "policy has no @id",
                segment,
                folder,
                hint='write @id("what-it-is-for") before it: decisions are explained by it',
            )
        )
        return None
    if not _ID.fullmatch(name):
        problems.append(
            _problem(
                "policy @id has characters other than letters, digits, `.`, `_` and `-`, or more than 64",
                segment,
                folder,
                hint="for example support-in-region",
            )
        )
        return None
    return Policy(name, tree["effect"], segment, tree)


def _validate(policy: Policy, schema: cedarpy.Schema, folder: Path | None) -> list[ConfigurationError]:
    problems: dict[str, ConfigurationError] = {}
    for each in cedarpy.validate_policies(policy.source.text, schema).errors:
        text = re.sub(r"^for policy `policy[0-9]+`, ", "", each.error)
        text = re.sub(r' in context for Action::"\w+"', " in context", text)
        if "unable to find an applicable action" in text and problems:
            continue  # follows from the fault already told
        quoted = re.search(r"`([^`]+)`", text)
        line = policy.source.line_of(quoted[1]) if quoted else policy.source.line
        problems.setdefault(
            text,
            _problem(
                f"policy `{policy.id}`: {_shorten(text)}",
                policy.source,
                folder,
                line=line,
                hint="what policies can ask about stands in schema.cedarschema",
            ),
        )
    return list(problems.values())


def _continues(parse: Any, prefix: str) -> bool:  # noqa: ANN401 - a parser of the binding
    try:
        parse(prefix)
    except ValueError as error:
        return _UNFINISHED in str(error)
    return True


def _plain(query: Query) -> dict[str, Any]:
    return {
        "principal": query.principal,
        "action": query.action,
        "resource": query.resource,
        "context": query.context,
    }


def _denied(queries: Sequence[Query], error: BaseException) -> list[Answer]:
    answer = Answer(False, (), (f"Cedar could not evaluate the request: {_shorten(str(error))}",))
    return [answer] * len(queries)


def _problem(
    message: str, segment: Segment, folder: Path | None, *, line: int = 0, hint: str = ""
) -> ConfigurationError:
    return ConfigurationError(message, path=_path(segment.file, folder), line=line or segment.line, hint=hint)


def _path(name: str, folder: Path | None) -> Path:
    return Path(name) if folder is None else folder / name


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _ERROR_LIMIT else f"{line[:_ERROR_LIMIT]}..."

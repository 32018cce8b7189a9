"""What a deployment folder says, brought into force: policies, catalogue and network zones.

The files of a folder decide nothing by themselves. They are loaded, validated together and tested; then their
bytes go into the ledger as blobs, and an entry for each that changed puts them into force. `ringfort up` and
`ringfort policy apply` do this; everything that decides follows the control log.

Invariants: nothing is put into force that does not validate or whose tests fail; blobs are stored before the
entry that names them; the append demands that none of the three has changed since it was looked at, so that
two people who apply at once do not undo each other unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ringfort.catalog.load import load_catalogue
from ringfort.catalog.zones import Zones, load_zones
from ringfort.errors import CheckFailedError, ConfigurationError
from ringfort.ledger.entry import encode, format_time
from ringfort.ledger.entry_control import CatalogueActivated, PolicyActivated, ZonesActivated
from ringfort.ledger.folds import Condition
from ringfort.policy.bundle import ANY_PURPOSE, EVALUATOR, TESTS_FILE, PolicyError, load_bundle
from ringfort.policy.settings import SETTINGS_FILE
from ringfort.policy.tests_file import load_tests, run_tests
from ringfort.policy.validate import named_purposes

if TYPE_CHECKING:
    from pathlib import Path

    from ringfort.catalog.model import Catalogue
    from ringfort.config import Config
    from ringfort.ledger.entry import Entry
    from ringfort.policy.bundle import CompiledBundle, PolicyBundle
    from ringfort.policy.tests_file import PolicyTestResult
    from ringfort.record.client import SyncLedger

ACTOR = "operator"


@dataclass(frozen=True)
class Folder:
    """What the folder of a deployment says, loaded; `problems` is empty if it holds together."""

    config: Config
    catalogue: Catalogue
    zones: Zones
    bundle: PolicyBundle
    compiled: CompiledBundle | None
    problems: tuple[ConfigurationError, ...]

    def run_tests(self) -> tuple[PolicyTestResult, ...]:
        """The results of `policy/tests.toml`; raises `ConfigurationError` if the file is invalid."""
        compiled = self.ready()
        sites = {name: (site.name, site.country) for site in self.config.sites for name in site.databases}
        tests = load_tests(compiled)
        return run_tests(compiled, self.catalogue, self.config.region.countries, tests, sites)

    def ready(self) -> CompiledBundle:
        """The compiled bundle; raises `PolicyError` with every fault if there are any."""
        if self.compiled is None or self.problems:
            raise PolicyError(self.problems)
        return self.compiled


def read_folder(config: Config) -> Folder:
    """Load and validate without judging; raises `ConfigurationError` only for a file that cannot be read."""
    folder = config.folder
    catalogue = load_catalogue(folder / "catalog.toml")
    zones = _zones(folder / "zones.toml")
    bundle = load_bundle(folder / "policy")
    compiled, problems = bundle.try_compile()
    if compiled is not None:
        problems = compiled.catalogue_problems(catalogue)
    return Folder(config, catalogue, zones, bundle, compiled, problems)


def load_folder(config: Config) -> Folder:
    """Load, validate and test what is to come into force.

    Raises `ConfigurationError` for a fault in a file and `CheckFailedError` for a failing policy test.
    """
    folder = read_folder(config)
    failed = [each for each in folder.run_tests() if not each.passed]
    if failed:
        first = failed[0]
        raise CheckFailedError(
            f"{folder.bundle.path_of(TESTS_FILE)}:{first.test.line}: {len(failed)} of the policy tests fail,"
            f" first `{first.test.name}`: expected {first.test.expect}, got {first.got.form}",
            hint="`ringfort policy check` shows each with the policies that decided",
        )
    return folder


@dataclass(frozen=True)
class Activated:
    """A line for each change that came into force, and what to be warned of in what is in force now."""

    changes: list[str]
    warnings: tuple[str, ...]


def activate(config: Config, ledger: SyncLedger) -> Activated:
    """Put what the folder says into force where it differs.

    Raises what `load_folder` raises, and what the ledger raises if the append is refused.
    """
    folder = load_folder(config)
    state = ledger.state
    size = state.size
    time = format_time(datetime.now(UTC))
    entries: list[Entry] = []
    blobs: list[bytes] = []
    changes: list[str] = []
    policy, catalogue, zones = folder.bundle.digest, folder.catalogue.digest(), folder.zones.digest()
    if policy != state.policy and folder.bundle.file(SETTINGS_FILE) is None:
        raise _no_purposes(folder)
    if (policy, EVALUATOR) != (state.policy, state.evaluator):
        entries.append(PolicyActivated(time=time, actor=ACTOR, bundle=policy, evaluator=EVALUATOR))
        blobs.append(folder.bundle.to_bytes())
        changes.append(f"policy {policy[:12]} is in force")
    if catalogue != state.catalogue:
        entries.append(CatalogueActivated(time=time, actor=ACTOR, catalogue=catalogue))
        blobs.append(folder.catalogue.to_json())
        changes.append(f"catalogue {catalogue[:12]} is in force")
    if zones != state.zones:
        entries.append(ZonesActivated(time=time, actor=ACTOR, zones=zones))
        blobs.append(folder.zones.to_json())
        changes.append(f"network zones {zones[:12]} are in force")
    if entries:
        condition = Condition(("policy", "catalogue", "zones"), size)
        ledger.append([encode(each) for each in entries], condition=condition, blobs=blobs)
    return Activated(changes, (ANY_PURPOSE,) if folder.bundle.file(SETTINGS_FILE) is None else ())


def _no_purposes(folder: Folder) -> ConfigurationError:
    """A bundle of before stays in force as it is; the next one says which purposes there are."""
    named = named_purposes(folder.ready().policies)
    return ConfigurationError(
        "no such file: from now on the purposes that may be stated are listed",
        path=folder.bundle.path_of(SETTINGS_FILE),
        hint='write [purposes] and a line such as complaint = "" for each; policies name '
        + (", ".join(f"`{each}`" for each in named[:20]) or "none"),
    )


def _zones(path: Path) -> Zones:
    """No file means no zones: then no network proves a country."""
    return load_zones(path) if path.exists() else Zones()

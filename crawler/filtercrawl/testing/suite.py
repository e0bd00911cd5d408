"""All checks of a plugin."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any, Final

from filtercrawl.api.errors import describe_error
from filtercrawl.api.plugin_manager import KINDS, Plugins, group_of, implemented_kinds, load_plugins
from filtercrawl.api.source import SupportsBuild
from filtercrawl.config import resolve
from filtercrawl.testing import analysis_checks, build_check, listing_checks, reader_checks, sync_checks
from filtercrawl.testing.finding import Finding, Violation
from filtercrawl.testing.harness import PluginHarness, make_harness


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check of a source.

    Attributes:
        name: Name of the check.
        promise: What holds if it finds nothing.
        run: The check.
        changing: Whether it needs a zoo that changes.
    """

    name: str
    promise: str
    run: Callable[[PluginHarness], Iterator[Violation]]
    changing: bool = False


def _check(name: str, run: Callable[[PluginHarness], Iterator[Violation]], *, needs_zoo: bool = False) -> Check:
    return Check(name=name, promise=(run.__doc__ or "").partition("\n")[0], run=run, changing=needs_zoo)


# In the order in which they are made: what later ones rest on comes first.
CHECKS: Final = (
    _check("listing", listing_checks.listed),
    _check("network", listing_checks.network),
    _check("types", listing_checks.types),
    _check("vocabulary", listing_checks.vocabulary),
    _check("names", listing_checks.names),
    _check("tokens", listing_checks.tokens),
    _check("lazy", listing_checks.lazy),
    _check("stable-ids", listing_checks.stable),
    _check("pattern", listing_checks.pattern),
    _check("sync", sync_checks.synced, needs_zoo=True),
    _check("incremental", sync_checks.incremental, needs_zoo=True),
    _check("revision", sync_checks.revision, needs_zoo=True),
    _check("signed-url", sync_checks.signed, needs_zoo=True),
    _check("change", sync_checks.changed, needs_zoo=True),
    _check("deletion", sync_checks.deleted, needs_zoo=True),
    _check("broken-listing", sync_checks.broken, needs_zoo=True),
    _check("typed-errors", sync_checks.typed, needs_zoo=True),
    _check("crash", sync_checks.crash, needs_zoo=True),
    _check("pattern-removal", sync_checks.pattern_removal, needs_zoo=True),
)
# What can be told of a source that lists nothing.
_OF_NOTHING: Final = ("listing", "network")


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """The result of checking a plugin.

    Attributes:
        passed: Checks that found nothing.
        findings: What is wrong.
        left_out: Checks that were skipped, and why.
    """

    findings: tuple[Finding, ...]
    passed: tuple[str, ...]
    left_out: Mapping[str, str]

    @property
    def conforms(self) -> bool:
        return not self.findings and not self.left_out


@dataclass
class _CheckRecorder:
    only: Collection[str] | None
    findings: list[Finding] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def is_selected(self, name: str) -> bool:
        return self.only is None or name in self.only

    def record(self, name: str, found: Iterator[Violation]) -> None:
        """Make one check; an exception in it is a finding."""
        mine: list[Violation] = []
        try:
            mine.extend(found)
        except Exception as error:  # noqa: BLE001 - a stranger's plugin may raise anything
            mine.append((f"ends with {describe_error(error)}", "find out where, and let it not"))
        self.findings += [Finding(check=name, what=what, what_to_do=todo) for what, todo in mine]
        if not mine:
            self.passed.append(name)


def check(
    module: str,
    *,
    listing_only: bool = False,
    pattern: str | None = None,
    conformance: Callable[..., Any] | None = None,
    only: Collection[str] | None = None,
) -> CheckReport:
    """Check the plugin in a module: all its sources, readers and analyses.

    Args:
        module: Name of the module.
        listing_only: Skip checks that need a zoo that changes.
        pattern: A pattern for sources that need one.
        conformance: Returns a FakeZoo for a FileServer, in place of the plugin's own function.
        only: Names of the checks to make; None for all.

    Raises:
        UsageError: The module is no plugin.
    """
    plugins = load_plugins().with_plugin(module)
    mine = plugins.of_module(module)
    tally = _CheckRecorder(only)
    fake = conformance or _beside(module, "conformance")
    settings = {} if fake else resolve({}).sources
    for source in mine.sources.values():
        begin = partial(make_harness, source, plugins, fake, pattern=pattern, settings=settings.get(source.name, {}))
        with begin() as mind:
            tries = {one.name: partial(one.run, mind) for one in CHECKS if not one.changing}
            if isinstance(source, SupportsBuild):
                tries["build"] = partial(build_check.build, mind, module)
            for name in filter(tally.is_selected, tries):
                if name in _OF_NOTHING or mind.listing.offers or mind.listing.error is None:
                    tally.record(name, tries[name]())
                else:
                    tally.left_out[name] = "rests on a listing, and there is none"
        for one in (one for one in CHECKS if one.changing and not listing_only and tally.is_selected(one.name)):
            if fake is None:
                tally.left_out[one.name] = "needs a zoo that changes: the plugin has no `conformance(server)`"
            elif any(finding.check == "sync" for finding in tally.findings):
                tally.left_out[one.name] = "rests on the check `sync`, which fails"
            else:
                with begin() as mind:
                    tally.record(one.name, one.run(mind))
    _readers(mine, plugins, module, tally, listing_only=listing_only)
    if mine.analyses and tally.is_selected("analysis"):
        tally.record("analysis", analysis_checks.analyses(mine.analyses, module))
    tally.findings += _hooks(mine, module)
    return CheckReport(findings=tuple(tally.findings), passed=tuple(tally.passed), left_out=tally.left_out)


def _hooks(mine: Plugins, module: str) -> Iterator[Finding]:
    """Yield what is wrong with the hooks of a plugin and the entry points that declare them."""
    declared = {entry.group for entry in mine.entries}
    for kind in implemented_kinds(module):
        if group_of(kind) not in declared:
            what = f"{module} has the hook filtercrawl_{kind}, but no entry point in the group {group_of(kind)}"
            yield Finding(check="hooks", what=what, what_to_do="add the entry point to its pyproject.toml")
    if not any(getattr(mine, kind) for kind in KINDS):
        advice = "write a function marked by `hookimpl`, such as `filtercrawl_sources`"
        yield Finding(check="hooks", what=f"{module} implements no hook", what_to_do=advice)


def _readers(mine: Plugins, plugins: Plugins, module: str, tally: _CheckRecorder, *, listing_only: bool) -> None:
    samples = _beside(module, "samples")
    for reader in mine.readers:
        tally.record("reader-claims", reader_checks.claims(reader))
        if samples is not None:
            tally.record("reader-tensors", reader_checks.reads(reader, samples(), plugins.readers))
        elif not listing_only:
            tally.left_out["reader-tensors"] = "needs files of the format: the plugin has no `samples()`"


def _beside(module: str, name: str) -> Callable[..., Any] | None:
    """Return `conformance` or `samples` of the plugin's module or of the module `conformance` in its package."""
    plugin = import_module(module.partition(":")[0])
    for place in (plugin, *_submodules(plugin)):
        found: Callable[..., Any] | None = getattr(place, name, None)
        if callable(found):
            return found
    return None


def _submodules(plugin: Any) -> Iterator[Any]:
    if hasattr(plugin, "__path__"):
        try:
            yield import_module(f"{plugin.__name__}.conformance")
        except ModuleNotFoundError as error:
            if error.name != f"{plugin.__name__}.conformance":
                raise

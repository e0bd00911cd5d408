"""All checks of a plugin."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any, Final

from filtercrawl.api.errors import describe_error
from filtercrawl.api.plugin_manager import Plugins, implemented_kinds, load_plugins
from filtercrawl.api.plugin_modules import KINDS, group_of
from filtercrawl.api.source import SupportsBuild
from filtercrawl.config import resolve
from filtercrawl.testing import analysis_checks, build_check, fault_checks, listing_checks, reader_checks, sync_checks
from filtercrawl.testing.finding import Finding, Violation
from filtercrawl.testing.harness import PluginHarness, make_harness
from filtercrawl.testing.isolation import isolate


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


# In the order in which they run: checks come after those that they depend on.
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
    _check("known", sync_checks.known, needs_zoo=True),
    _check("many", listing_checks.many, needs_zoo=True),
    _check("broken-listing", fault_checks.broken, needs_zoo=True),
    _check("damaged-listing", fault_checks.damaged, needs_zoo=True),
    _check("typed-errors", fault_checks.typed, needs_zoo=True),
    _check("crash", sync_checks.crash, needs_zoo=True),
    _check("pattern-removal", sync_checks.pattern_removal, needs_zoo=True),
)
# Checks that apply to a source that lists nothing.
_WITHOUT_OFFERS: Final = ("listing", "network")


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
        violations: list[Violation] = []
        try:
            violations.extend(found)
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            violations.append((f"ends with {describe_error(error)}", "find the cause and fix it"))
        self.findings += [Finding(check=name, what=what, what_to_do=todo) for what, todo in violations]
        if not violations:
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
    isolated = isolate(load_plugins().with_plugin(module), module)
    mine, plugins = isolated.own, isolated.plugins
    recorder = _CheckRecorder(only)
    fake = conformance or _plugin_function(module, "conformance")
    settings = {} if fake else resolve({}).sources
    for source in mine.sources.values():
        open_harness = partial(
            make_harness, source, plugins, fake, pattern=pattern, settings=settings.get(source.name, {})
        )
        with open_harness() as harness:
            checks = {one.name: partial(one.run, harness) for one in CHECKS if not one.changing}
            if isinstance(source, SupportsBuild):
                checks["build"] = partial(build_check.build, harness, module)
            for name in filter(recorder.is_selected, checks):
                if name in _WITHOUT_OFFERS or harness.listing.offers or harness.listing.error is None:
                    recorder.record(name, checks[name]())
                else:
                    recorder.left_out[name] = "needs a listing, which failed"
        for one in (one for one in CHECKS if one.changing and not listing_only and recorder.is_selected(one.name)):
            if fake is None:
                recorder.left_out[one.name] = "needs a zoo that changes: the plugin has no `conformance(server)`"
            elif any(finding.check == "sync" for finding in recorder.findings):
                recorder.left_out[one.name] = "needs the check `sync`, which fails"
            else:
                with open_harness() as harness:
                    recorder.record(one.name, one.run(harness))
    _readers(mine, plugins, module, recorder, listing_only=listing_only)
    if mine.analyses and recorder.is_selected("analysis"):
        recorder.record("analysis", analysis_checks.analyses(isolated, module))
    recorder.findings += [*_hooks(mine, module), *isolated.clashes]
    return CheckReport(findings=tuple(recorder.findings), passed=tuple(recorder.passed), left_out=recorder.left_out)


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


def _readers(mine: Plugins, plugins: Plugins, module: str, recorder: _CheckRecorder, *, listing_only: bool) -> None:
    samples = _samples(module, recorder)
    for reader in mine.readers:
        recorder.record("reader-claims", reader_checks.claims(reader))
        if samples is not None and reader_checks.has_sample(reader, samples, mine.readers):
            recorder.record("reader-tensors", reader_checks.reads(reader, samples, mine.readers, plugins.readers))
            recorder.record("reader-bytes", reader_checks.reads_little(reader, samples))
        elif not listing_only:
            lacking = (
                "the plugin has no `samples()`" if samples is None else f"no sample is of the reader {reader.name}"
            )
            reason = f"needs files of the format: {lacking}"
            recorder.left_out |= {"reader-tensors": reason, "reader-bytes": reason}


def _samples(module: str, recorder: _CheckRecorder) -> list[Any] | None:
    """Return what the plugin's `samples()` yields, up to an error, which is a finding; None where there is none."""
    function = _plugin_function(module, "samples")
    if function is None:
        return None
    samples: list[Any] = []
    try:
        samples.extend(function())
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything
        what = f"`samples()` ends with {describe_error(error)}"
        recorder.findings.append(Finding(check="reader-tensors", what=what, what_to_do="find the cause and fix it"))
    return samples


def _plugin_function(module: str, name: str) -> Callable[..., Any] | None:
    """Return `conformance` or `samples` of the plugin's module or of the module `conformance` in its package."""
    plugin = import_module(module.partition(":")[0])
    for candidate in (plugin, *_submodules(plugin)):
        function: Callable[..., Any] | None = getattr(candidate, name, None)
        if callable(function):
            return function
    return None


def _submodules(plugin: Any) -> Iterator[Any]:
    if hasattr(plugin, "__path__"):
        try:
            yield import_module(f"{plugin.__name__}.conformance")
        except ModuleNotFoundError as error:
            if error.name != f"{plugin.__name__}.conformance":
                raise

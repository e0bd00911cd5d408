"""Write `docs/api.md`, the reference of what plugins import, from the code; a test holds the page against it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

from filtercrawl import api, testing

INTRODUCTION = f"""# Interface for plugins

Written by `python docs/api.py` from the code. A plugin imports these names from `filtercrawl.api`, the tools for its
tests from `filtercrawl.testing`, and nothing else: what is not here may change at any time.
[Plugins](plugins.md) shows how they are used, with examples that run.

## Versions and deprecation

The interface has a version, `filtercrawl.api.API_VERSION`, now {api.API_VERSION}. A plugin may state the one it is
built for, and is then refused with a clear line by a filtercrawl that does not know it:

```python
FILTERCRAWL_API = {api.API_VERSION}
```

- Within a version names, fields with a default, optional methods and hooks are only added. Records are made with
  keyword arguments, so a new field breaks nobody.
- What is to go is deprecated first: it works as before for at least two minor releases and six months, warns with a
  `DeprecationWarning` that names what to use instead, and stands in the changelog under *Deprecated*.
- What would break a plugin that keeps to this page raises the version. The version before is still loaded for at least
  six months, wherever that can be done.
- The conformance kit may grow new checks in any release: they find what was wrong before.
- Columns of the dataset have a version of their own, see [the schema](schema.md).
"""
GROUPS = {
    "To begin": ("API_VERSION", "hookimpl"),
    "What a source offers": (
        *(
            "Checkpoint",
            "RemoteFile",
            "CheckpointMetadata",
            "TrainingRun",
            "Skipped",
            "VisualCategory",
            "Query",
            "PreviousState",
            "Transport",
        ),
        *(
            "Source",
            "SupportsCanonicalPattern",
            "SupportsCount",
            "SupportsBuild",
            "SupportsSampleInput",
            "SupportsLookup",
            "SupportsUrlResolution",
            "SupportsSubfile",
        ),
    ),
    "What a reader reads": (
        *(
            "Reader",
            "Files",
            "RandomAccessFile",
            "StoredTensor",
            "TensorLocation",
            "Convolution",
            "Depth",
            "Quantization",
        ),
    ),
    "What a measure measures": ("Measure", "LayerSummary", "Accumulator", "Sketcher"),
    "What an analysis finds": (
        "Analysis",
        "DatasetView",
        "AnalysisOptions",
        "Result",
        "ResultTable",
        "Figure",
        "SampleSize",
    ),
    "Commands": ("Command",),
    "Errors": (
        *("FiltercrawlError", "NetworkError", "AccessDeniedError", "NotFoundError", "CheckpointError", "FormatError"),
        *("TruncatedError", "UnsupportedError", "UnsafeFileError"),
    ),
}

TOOLS = """## Tools for tests

These are imported from `filtercrawl.testing`; the fixtures of pytest are in `filtercrawl.testing.pytest_fixtures`.
"""


def page() -> str:
    """Return the page: every public name, what it is, its fields and methods."""
    parts = [INTRODUCTION]
    for title, names in GROUPS.items():
        parts.append(f"## {title}\n")
        parts += [entry(name, getattr(api, name)) for name in names]
    parts.append(TOOLS)
    parts += [entry(name, getattr(testing, name)) for name in testing.__all__ if name != "CHECKS"]
    return "\n".join(parts)


def entry(name: str, what: Any) -> str:
    lines = [f"### {name}\n"]
    if isinstance(what, int):
        return "\n".join([*lines, f"The version of this interface: {what}.\n"])
    if inspect.isfunction(what):
        signature = str(inspect.signature(what)).replace("'", "")
        return "\n".join([*lines, f"{inspect.getdoc(what)}\n", "```text", f"{name}{signature}", "```\n"])
    if not inspect.isclass(what):
        return "\n".join([*lines, "Marks a function as the implementation of the hook of its name.\n"])
    about = inspect.getdoc(what) if what.__doc__ and not what.__doc__.startswith(f"{name}(") else None
    if issubclass(what, Exception):
        about = (about if "__doc__" in vars(what) else None) or f"A {what.__mro__[1].__name__}."
    lines.append(f"{about or ''}\n")
    text = list(code(what))
    return "\n".join([*lines, *(["```text", *text, "```\n"] if text else [])])


def code(what: type[Any]) -> Iterator[str]:
    """Fields with their types and defaults, then methods and properties with what they say."""
    if is_dataclass(what):
        for field in fields(what):
            optional = field.default is not MISSING or field.default_factory is not MISSING
            default = f" = {field.default!r}" if field.default is not MISSING else " = ..." if optional else ""
            yield f"{field.name}: {field.type}{default}"
    for name, member in members(what).items():
        if name.startswith("_") or not (inspect.isfunction(member) or isinstance(member, property)):
            continue
        function = member.fget if isinstance(member, property) else member
        signature = str(inspect.signature(function)).replace("'", "").replace("(self, ", "(").replace("(self)", "()")
        yield f"{name}{signature.removeprefix('()') if isinstance(member, property) else signature}"
        for line in (inspect.getdoc(function) or "").splitlines():
            yield f"    {line}".rstrip()


def members(what: type[Any]) -> dict[str, Any]:
    """What a class defines, and what it has from bases of ours that have no entry of their own."""
    public = {getattr(api, name) for name in api.__all__ if inspect.isclass(getattr(api, name))}
    hidden = [base for base in what.__mro__[1:] if base.__module__.startswith("filtercrawl.") and base not in public]
    return dict(item for kind in (what, *hidden) for item in vars(kind).items())


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), "utf-8")

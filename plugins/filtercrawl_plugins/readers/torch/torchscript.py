"""Reads settings of convolutions off the code of a TorchScript archive, as text."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from filtercrawl_plugins.formats.pickle.objects import Stub
from filtercrawl_plugins.formats.zip.archive import ZipArchive
from filtercrawl_plugins.readers.torch.modules import CONVOLUTION_SETTINGS, SavedModule, describe_module

CODE_BYTES: Final = 1 << 20

_CLASS = re.compile(r"^class (\w+)\(Module\):$", re.MULTILINE)
_HELD = re.compile(r'^  __(parameters|buffers)__ = \[((?:"\w+", ?)*)\]', re.MULTILINE)
_FINAL = re.compile(r"^  (\w+) : Final\[.*\] = (.+)$", re.MULTILINE)
_INTS = r"\[[\d, ]+\]"
_CALL = re.compile(
    rf"torch\._convolution(?:_mode)?\(\w+, weight, \w+, ({_INTS}), ({_INTS}|\"\w+\"), ({_INTS}), "
    rf"(?:(True|False), {_INTS}, )?(\d+)"
)


class TorchScriptCode:
    """The code of an archive: what scripted classes state as constants, and traced ones in their one call."""

    def __init__(self, archive: ZipArchive, root: str) -> None:
        self._archive = archive
        self._folder = f"{root}code/"
        self._files: dict[str, dict[str, str]] = {}

    def describe_module(self, stub: Stub) -> SavedModule:
        """Return what a scripted module is, as far as its attributes and its class's text tell."""
        path, _, cls = stub.path.rpartition(".")
        found = describe_module(stub)
        text = self._classes(path).get(cls)
        if text is None:
            return found
        held = {kind: frozenset(re.findall(r"\w+", names)) for kind, names in _HELD.findall(text)}
        settings = {name: constant(value) for name, value in _FINAL.findall(text) if name in CONVOLUTION_SETTINGS}
        settings.update((name, value) for name, value in stub.attributes() if name in CONVOLUTION_SETTINGS)
        calls = _CALL.findall(text)
        if settings.keys() != CONVOLUTION_SETTINGS:
            settings = convolution_from_call(*calls[0]) if len(calls) == 1 else {}
        return replace(
            found,
            parameters=held.get("parameters", frozenset()),
            buffers=held.get("buffers", frozenset()),
            settings=settings,
        )

    def _classes(self, path: str) -> dict[str, str]:
        """Return the texts of the classes in one file of code, by name; none where it is missing or long."""
        name = self._folder + path.replace(".", "/") + ".py"
        entry = self._archive.entries.get(name)
        if entry is None or entry.size > CODE_BYTES:
            return {}
        if name not in self._files:
            parts = _CLASS.split(self._archive.read(name, CODE_BYTES).decode("utf-8", "replace"))
            self._files[name] = dict(zip(parts[1::2], parts[2::2], strict=True))
        return self._files[name]


def constant(value: str) -> object:
    """Return a constant of the code: a tuple of whole numbers, one whole number, True or False, or text."""
    if re.fullmatch(r"[(\[][\d, ]+[)\]]", value):
        return tuple(int(number) for number in re.findall(r"\d{1,10}", value))
    if re.fullmatch(r"\d{1,10}", value):
        return int(value)
    return {"True": True, "False": False}.get(value, value.strip('"'))


def convolution_from_call(stride: str, padding: str, dilation: str, transposed: str, groups: str) -> dict[str, object]:
    texts = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return {"transposed": transposed == "True", **{name: constant(value) for name, value in texts.items()}}

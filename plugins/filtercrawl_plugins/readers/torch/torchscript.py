"""Settings of convolutions from the code of a TorchScript archive, which is parsed as text and never run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from filtercrawl_plugins.formats.pickle.objects import Stub
from filtercrawl_plugins.formats.zip.archive import ZipArchive
from filtercrawl_plugins.readers.torch.modules import CONVOLUTION_SETTINGS, SavedModule, describe_module
from filtercrawl_plugins.readers.torch.quantized_state import is_packed, packed_uses, state_by_name
from filtercrawl_plugins.readers.torch.script_calls import parse_literal, weight_uses
from filtercrawl_plugins.readers.torch.weight_uses import WeightUses

MAX_CODE_BYTES: Final = 1 << 20
# Characters of code that are parsed in a step.
CHARACTERS_PER_STEP: Final = 2
# Code of an archive that is searched for uses of its constants.
MAX_TOTAL_CODE_BYTES: Final = 16 << 20

# A class of serialized code, the names of its parameters and buffers, and its constants.
_CLASS: Final = re.compile(r"^class (\w+)\(Module\):$", re.MULTILINE)
_REGISTRY: Final = re.compile(r'^  __(parameters|buffers)__ = \[((?:"\w+", ?)*)\]', re.MULTILINE)
_CONSTANT: Final = re.compile(r"^  (\w+) : Final\[.*\] = (.+)$", re.MULTILINE)
_INTS: Final = r"\[[\d, ]+\]"
# The call in the forward method of a traced convolution: stride, padding, dilation, transposed, groups.
_CALL: Final = re.compile(
    rf"torch\._convolution(?:_mode)?\(\w+, weight, \w+, ({_INTS}), ({_INTS}|\"\w+\"), ({_INTS}), "
    rf"(?:(True|False), {_INTS}, )?(\d+)"
)


# Module of the prepacked convolutions that `torch.utils.mobile_optimizer` makes, and the positions of their settings.
_PREPACKED_MODULE: Final = "torch.classes.xnnpack"
_PREPACKED: Final[Mapping[str, Mapping[str, int]]] = {
    "Conv2dOpContext": {"stride": 2, "padding": 3, "dilation": 4, "groups": 5},
    "TransposeConv2dOpContext": {"stride": 2, "padding": 3, "dilation": 5, "groups": 6},
}


@dataclass(frozen=True, kw_only=True)
class ClassCode:
    """What the text of a class states.

    Attributes:
        parameters: Names of its parameters.
        buffers: Names of its buffers.
        settings: Settings of a convolution among its constants.
        call: Settings in its only call of a convolution; {} if there is none.
        uses: How it uses its attributes as weights of convolutions.
    """

    parameters: frozenset[str]
    buffers: frozenset[str]
    settings: Mapping[str, object]
    call: Mapping[str, object]
    uses: WeightUses

    @classmethod
    def parse(cls, text: str) -> ClassCode:
        """Parse the text of a class."""
        registered = {kind: frozenset(re.findall(r"\w+", names)) for kind, names in _REGISTRY.findall(text)}
        constants = _CONSTANT.findall(text)
        calls = _CALL.findall(text)
        return cls(
            parameters=registered.get("parameters", frozenset()),
            buffers=registered.get("buffers", frozenset()),
            settings={name: parse_literal(value) for name, value in constants if name in CONVOLUTION_SETTINGS},
            call=convolution_from_call(*calls[0]) if len(calls) == 1 else {},
            uses=weight_uses(text),
        )


class TorchScriptCode:
    """The classes of an archive's `code/` folder.

    A scripted convolution states its settings as constants of its class, a traced one as arguments of its only call.
    """

    def __init__(self, archive: ZipArchive, root: str) -> None:
        """Read code from the folder `{root}code/` of an archive."""
        self._archive = archive
        self._folder = f"{root}code/"
        self._files: dict[str, dict[str, str]] = {}
        self._parsed: dict[tuple[str, str], ClassCode | None] = {}

    def describe_module(self, stub: Stub) -> SavedModule:
        """Describe a module by its attributes and the text of its class."""
        path, _, cls = stub.path.rpartition(".")
        described = describe_module(stub)
        if path.endswith(_PREPACKED_MODULE):
            return replace(described, uses=prepacked_uses(cls, stub))
        config = state_by_name(stub).get("config") if is_packed(stub.path) else None
        if isinstance(config, list):
            return replace(described, uses=packed_uses(config))
        code = self._class(path, cls)
        if code is None:
            return described
        attributes = stub.attributes()
        settings = dict(code.settings)
        settings.update((name, attributes[name]) for name in CONVOLUTION_SETTINGS if name in attributes)
        settings.update(described.settings)
        return replace(
            described,
            parameters=code.parameters,
            buffers=code.buffers,
            settings=settings if settings.keys() == CONVOLUTION_SETTINGS else code.call,
            uses=code.uses,
        )

    def constant_uses(self) -> WeightUses:
        """Return how the code uses its constants, as after `torch.jit.freeze`; unknown where there is too much code."""
        names = [name for name in self._archive.entries if name.startswith(self._folder) and name.endswith(".py")]
        sizes = [self._archive.entries[name].size for name in names]
        if sum(sizes) > MAX_TOTAL_CODE_BYTES:
            return WeightUses()
        return weight_uses("\n".join(self._read(name, MAX_TOTAL_CODE_BYTES) for name in names))

    def _class(self, path: str, cls: str) -> ClassCode | None:
        """Return what the text of a class states, the same for all modules of the class; None if it has no text."""
        name = self._folder + path.replace(".", "/") + ".py"
        entry = self._archive.entries.get(name)
        if entry is None or entry.size > MAX_CODE_BYTES:
            return None
        if name not in self._files:
            parts = _CLASS.split(self._read(name, MAX_CODE_BYTES))
            self._files[name] = dict(zip(parts[1::2], parts[2::2], strict=True))
        if (name, cls) not in self._parsed:
            text = self._files[name].get(cls)
            self._parsed[name, cls] = None if text is None else ClassCode.parse(text)
        return self._parsed[name, cls]

    def _read(self, name: str, limit: int) -> str:
        text = self._archive.read(name, limit).decode("utf-8", "replace")
        self._archive.budget.spend(len(text) // CHARACTERS_PER_STEP)
        return text


def prepacked_uses(cls: str, stub: Stub) -> WeightUses:
    """Return how a prepacked convolution uses its state: the weight is the first element, settings follow."""
    state = next((state for state in stub.states or () if isinstance(state, tuple | list)), ())
    settings: dict[str, object] = {"transposed": cls.startswith("Transpose"), "rank": 2}
    for name, position in _PREPACKED.get(cls, {}).items():
        value = state[position] if position < len(state) else None
        settings[name] = tuple(value[:8]) if isinstance(value, list | tuple) else value
    return WeightUses(settings={"0": settings} if cls in _PREPACKED else {})


def convolution_from_call(stride: str, padding: str, dilation: str, transposed: str, groups: str) -> dict[str, object]:
    """Return the settings in the arguments of `torch._convolution`; channels and kernel size are not among them."""
    texts = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return {"transposed": transposed == "True", **{name: parse_literal(value) for name, value in texts.items()}}

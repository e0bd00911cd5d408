"""Finds every tensor in what a pickle holds, in order, and names it by its path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from filtercrawl.api.errors import UnsafeFileError
from filtercrawl_plugins.formats.pickle.objects import MAX_NAME_LENGTH, NumpyArray, PickledDict, PickledTensor, Stub
from filtercrawl_plugins.readers.torch.modules import REGISTRIES, SavedModule, describe_module, is_module

MAX_DEPTH: Final = 500
MAX_STEPS: Final = 5_000_000
# What it costs to open a container or to name a tensor, in steps of looking at one value.
OPEN: Final = 15
# Where TorchScript puts every class that it makes.
SCRIPTED: Final = "__torch__."

Leaf = PickledTensor | NumpyArray
KeyPath = tuple[str, ...]
NODES: Final = (PickledTensor, NumpyArray, PickledDict, Stub, list, tuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorPath:
    """Where in the object a value was found.

    path: every container and attribute from the top. key: the attributes below the outermost module, wrappers
    left out, and root the containers above it; None and () outside of modules. layer: the key of the nearest
    module; owner: that module. submodule: it is one, and not just something that a module refers to.
    """

    path: KeyPath = ()
    root: KeyPath = ()
    key: KeyPath | None = None
    layer: KeyPath | None = None
    owner: SavedModule | None = None
    submodule: bool = False

    def child(self, name: str) -> TensorPath:
        key = None if self.key is None else (*self.key, name)
        return TensorPath(path=(*self.path, name), root=self.root, key=key, layer=self.layer, owner=self.owner)


@dataclass(frozen=True, slots=True)
class FoundTensor:
    path: TensorPath
    value: Leaf

    @property
    def name(self) -> str:
        return ".".join(self.path.path)


class TensorWalk:
    """One walk over one object: iterative, safe against cycles, bounded in depth and in steps."""

    def __init__(self, file: str, describe: Callable[[Stub], SavedModule] = describe_module) -> None:
        self._file = file
        self._describe = describe
        self._steps = 0
        self._seen: set[int] = set()

    def tensors(self, top: object, start: TensorPath) -> Iterator[FoundTensor]:
        """Yield what the object holds; raises UnsafeError where it nests too deep or has no end.

        An object that is reached again is walked again where it is a submodule or lies in a plain container:
        its tensors then have a second name. A module's other references to objects seen before are only that.
        """
        if isinstance(top, PickledTensor | NumpyArray):
            yield FoundTensor(start if start.path else start.child("tensor"), top)
            return
        frames = [(id(top), self._children(top, start))]
        open_ids = {id(top)}
        self._see(top)
        while frames:
            identity, children = frames[-1]
            for place, child in children:
                self._spend(OPEN)
                if isinstance(child, PickledTensor | NumpyArray):
                    self._check_name(place)
                    yield FoundTensor(place, child)
                    continue
                referred = isinstance(child, Stub) and place.owner is not None and not place.submodule
                if id(child) in open_ids or (referred and id(child) in self._seen):
                    continue
                if len(frames) == MAX_DEPTH:
                    raise UnsafeFileError(f"{self._file}: its object is nested deeper than {MAX_DEPTH} levels")
                frames.append((id(child), self._children(child, place)))
                open_ids.add(id(child))
                self._see(child)
                break
            else:
                frames.pop()
                open_ids.discard(identity)

    def _children(self, node: object, place: TensorPath) -> Iterator[tuple[TensorPath, object]]:
        if isinstance(node, list | tuple):
            for index, value in enumerate(node):
                if self._holds(value):
                    yield place.child(str(index)), value
        elif isinstance(node, PickledDict):
            for name, value in node.items():
                if self._holds(value):
                    yield place.child(name), value
            if node.state is not None and self._holds(node.state):
                yield place.child("state"), node.state
        elif isinstance(node, Stub):
            yield from self._attributes(node, place)
            yield from self._children(node.pairs, place)
            yield from self._children(node.elements, place)
            if node.args and self._holds(node.args):
                yield place.child("args"), node.args

    def _attributes(self, stub: Stub, place: TensorPath) -> Iterator[tuple[TensorPath, object]]:
        scripted = stub.path.startswith(SCRIPTED)
        if scripted or is_module(stub):
            outermost = place.key is None
            root = place.path if outermost else place.root
            key = place.key or ()
            inside = TensorPath(path=place.path, root=root, key=key, layer=key, owner=self._describe(stub))
        else:
            inside = place
        for name, value in stub.attributes():
            if inside.owner is not None and name in REGISTRIES and isinstance(value, PickledDict):
                for inner, child in value.items():
                    if self._holds(child):
                        path, key = (*inside.path, name, inner), (*(inside.key or ()), inner)
                        yield replace(inside, path=path, key=key, submodule=name == "_modules"), child
            elif self._holds(value):
                yield replace(inside.child(name), submodule=scripted and isinstance(value, Stub)), value
        for state in stub.states or ():
            if not isinstance(state, PickledDict) and self._holds(state):
                yield inside.child("state"), state

    def _see(self, value: object) -> None:
        """Note an object and all its submodules, so that what only refers to one does not name it first."""
        waiting = [value]
        while waiting:
            stub = waiting.pop()
            if not isinstance(stub, Stub) or id(stub) in self._seen:
                continue
            self._seen.add(id(stub))
            for name, modules in stub.attributes():
                if name == "_modules" and isinstance(modules, PickledDict):
                    waiting.extend(child for _, child in modules.items() if self._holds(child))

    def _holds(self, value: object) -> bool:
        """Tell whether a value is a tensor or may hold some; every value looked at is a step."""
        if isinstance(value, list | tuple):
            self._spend(1 + len(value))
            return any(isinstance(element, NODES) for element in value)
        self._spend(1)
        return isinstance(value, NODES) and not (
            isinstance(value, PickledDict) and not value.pairs and value.state is None
        )

    def _spend(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise UnsafeFileError(f"{self._file}: its object has too many parts, or repeats them without end")

    def _check_name(self, place: TensorPath) -> None:
        length = sum(map(len, place.path))
        self._spend(length // OPEN)
        if length > MAX_NAME_LENGTH:
            raise UnsafeFileError(f"{self._file}: the name of a tensor is longer than {MAX_NAME_LENGTH} characters")

"""Finds every tensor in what a pickle holds, in order, and names it by its path."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from filtercrawl.api.errors import UnsafeError
from filtercrawl_plugins.formats.pickle.nodes import NAME, Array, Pairs, Stub, Tensor
from filtercrawl_plugins.readers.torch.modules import WRAPPERS, Module, is_module, module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEPTH: Final = 500
STEPS: Final = 5_000_000
# What it costs to open a container or to name a tensor, in steps of looking at one value.
OPEN: Final = 15
# Where TorchScript puts every class that it makes.
SCRIPTED: Final = "__torch__."

Leaf = Tensor | Array
Path = tuple[str, ...]
NODES: Final = (Tensor, Array, Pairs, Stub, list, tuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in the object a value was found.

    path: every container and attribute from the top. key: the attributes below the outermost module, wrappers
    left out, and root the containers above it; None and () outside of modules. layer: the key of the nearest
    module; owner: that module. submodule: it is one, and not just something that a module refers to.
    """

    path: Path = ()
    root: Path = ()
    key: Path | None = None
    layer: Path | None = None
    owner: Module | None = None
    submodule: bool = False

    def below(self, name: str) -> Place:
        key = None if self.key is None else (*self.key, name)
        return Place(path=(*self.path, name), root=self.root, key=key, layer=self.layer, owner=self.owner)


@dataclass(frozen=True, slots=True)
class Found:
    place: Place
    value: Leaf

    @property
    def name(self) -> str:
        return ".".join(self.place.path)


class Walk:
    """One walk over one object: iterative, safe against cycles, bounded in depth and in steps."""

    def __init__(self, file: str, describe: Callable[[Stub], Module] = module) -> None:
        self._file = file
        self._describe = describe
        self._steps = 0
        self._seen: set[int] = set()

    def tensors(self, top: object, start: Place) -> Iterator[Found]:
        """Yield what the object holds; raises UnsafeError where it nests too deep or has no end.

        An object that is reached again is walked again where it is a submodule or lies in a plain container:
        its tensors then have a second name. A module's other references to objects seen before are only that.
        """
        if isinstance(top, Tensor | Array):
            yield Found(start if start.path else start.below("tensor"), top)
            return
        frames = [(id(top), self._children(top, start))]
        open_ids = {id(top)}
        self._see(top)
        while frames:
            identity, children = frames[-1]
            for place, child in children:
                self._spend(OPEN)
                if isinstance(child, Tensor | Array):
                    self._check_name(place)
                    yield Found(place, child)
                    continue
                referred = isinstance(child, Stub) and place.owner is not None and not place.submodule
                if id(child) in open_ids or (referred and id(child) in self._seen):
                    continue
                if len(frames) == DEPTH:
                    raise UnsafeError(f"{self._file}: its object is nested deeper than {DEPTH} levels")
                frames.append((id(child), self._children(child, place)))
                open_ids.add(id(child))
                self._see(child)
                break
            else:
                frames.pop()
                open_ids.discard(identity)

    def _children(self, node: object, place: Place) -> Iterator[tuple[Place, object]]:
        if isinstance(node, list | tuple):
            for index, value in enumerate(node):
                if self._holds(value):
                    yield place.below(str(index)), value
        elif isinstance(node, Pairs):
            for name, value in node.items():
                if self._holds(value):
                    yield place.below(name), value
            if node.state is not None and self._holds(node.state):
                yield place.below("state"), node.state
        elif isinstance(node, Stub):
            yield from self._attributes(node, place)
            yield from self._children(node.pairs, place)
            yield from self._children(node.elements, place)
            if node.args and self._holds(node.args):
                yield place.below("args"), node.args

    def _attributes(self, stub: Stub, place: Place) -> Iterator[tuple[Place, object]]:
        scripted = stub.path.startswith(SCRIPTED)
        if scripted or is_module(stub):
            outermost = place.key is None
            root = place.path if outermost else place.root
            key = place.key or ()
            inside = Place(path=place.path, root=root, key=key, layer=key, owner=self._describe(stub))
        else:
            inside = place
        for name, value in stub.attributes():
            if inside.owner is not None and name in WRAPPERS and isinstance(value, Pairs):
                for inner, child in value.items():
                    if self._holds(child):
                        path, key = (*inside.path, name, inner), (*(inside.key or ()), inner)
                        yield replace(inside, path=path, key=key, submodule=name == "_modules"), child
            elif self._holds(value):
                yield replace(inside.below(name), submodule=scripted and isinstance(value, Stub)), value
        for state in stub.states or ():
            if not isinstance(state, Pairs) and self._holds(state):
                yield inside.below("state"), state

    def _see(self, value: object) -> None:
        """Note an object and all its submodules, so that what only refers to one does not name it first."""
        waiting = [value]
        while waiting:
            stub = waiting.pop()
            if not isinstance(stub, Stub) or id(stub) in self._seen:
                continue
            self._seen.add(id(stub))
            for name, modules in stub.attributes():
                if name == "_modules" and isinstance(modules, Pairs):
                    waiting.extend(child for _, child in modules.items() if self._holds(child))

    def _holds(self, value: object) -> bool:
        """Tell whether a value is a tensor or may hold some; every value looked at is a step."""
        if isinstance(value, list | tuple):
            self._spend(1 + len(value))
            return any(isinstance(element, NODES) for element in value)
        self._spend(1)
        return isinstance(value, NODES) and not (isinstance(value, Pairs) and not value.pairs and value.state is None)

    def _spend(self, steps: int) -> None:
        self._steps += steps
        if self._steps > STEPS:
            raise UnsafeError(f"{self._file}: its object has too many parts, or repeats them without end")

    def _check_name(self, place: Place) -> None:
        length = sum(map(len, place.path))
        self._spend(length // OPEN)
        if length > NAME:
            raise UnsafeError(f"{self._file}: the name of a tensor is longer than {NAME} characters")

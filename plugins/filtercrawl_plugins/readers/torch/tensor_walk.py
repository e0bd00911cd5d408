"""Walk an unpickled object and find every tensor in it, in order, with its path.

The walk pays a step for each value that it looks at: parts that many objects share are looked at for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from filtercrawl.api.errors import UnsafeFileError
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.pickle.objects import NumpyArray, PickledDict, PickledTensor, Stub
from filtercrawl_plugins.readers.torch.fx_code import code_uses, graph_code
from filtercrawl_plugins.readers.torch.modules import (
    REGISTRIES,
    SavedModule,
    describe_module,
    is_module,
)
from filtercrawl_plugins.readers.torch.quantized_state import state_by_name
from filtercrawl_plugins.readers.torch.weight_uses import WeightUses

MAX_DEPTH: Final = 500
# Cost of visiting a child, in steps; looking at a value costs one.
VISIT_COST: Final = 15
# Module of all classes that TorchScript generates.
SCRIPTED_PREFIX: Final = "__torch__."

Leaf = PickledTensor | NumpyArray
KeyPath = tuple[str, ...]
# Values that are tensors or may contain some.
_VISITED_TYPES: Final = (PickledTensor, NumpyArray, PickledDict, Stub, list, tuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorPath:
    """Path of a value in the object of a checkpoint.

    Attributes:
        path: Keys, indices and attributes from the top.
        root: The part of `path` above the outermost module; () outside of modules.
        key: Attributes below the outermost module, without the registries `_parameters`, `_buffers` and `_modules`;
            None outside of modules.
        layer: Key of the nearest module.
        owner: The nearest module.
        submodule: Whether the value is registered as a submodule, not just referred to by an attribute.
        uses: How code of an outer module uses attributes of modules, by their `key`.
    """

    path: KeyPath = ()
    root: KeyPath = ()
    key: KeyPath | None = None
    layer: KeyPath | None = None
    owner: SavedModule | None = None
    submodule: bool = False
    uses: Mapping[KeyPath, WeightUses] = field(default_factory=dict)

    def child(self, name: str) -> TensorPath:
        """Return the path of an element or attribute of the value."""
        key = None if self.key is None else (*self.key, name)
        return replace(self, path=(*self.path, name), key=key, submodule=False)


@dataclass(frozen=True, slots=True)
class FoundTensor:
    """A tensor and its path."""

    path: TensorPath
    value: Leaf

    @property
    def name(self) -> str:
        """Name in the ledger: the whole path, joined by dots."""
        return ".".join(self.path.path)


class TensorWalk:
    """An iterative depth-first walk, safe against cycles and limited in depth and steps."""

    def __init__(self, file: str, budget: Budget, describe: Callable[[Stub], SavedModule] = describe_module) -> None:
        """Prepare a walk.

        Args:
            file: Name of the file, for messages.
            budget: The budget of the checkpoint.
            describe: Describes the module that a stub stands for.
        """
        self._file = file
        self._describe = describe
        self._spend = budget.spend
        self._seen: set[int] = set()

    def tensors(self, top: object, start: TensorPath) -> Iterator[FoundTensor]:
        """Yield the tensors of an object.

        An object that is reached twice is walked twice if it is a submodule or an element of a plain container: its
        tensors then have two names. An attribute of a module that refers to an object seen before is not followed.

        Args:
            top: The object.
            start: Its path.

        Raises:
            UnsafeFileError: The object is nested too deeply or has too many parts.
        """
        if isinstance(top, PickledTensor | NumpyArray):
            yield FoundTensor(start if start.path else start.child("tensor"), top)
            return
        frames = [(id(top), self._children(top, start))]
        open_ids = {id(top)}
        self._mark_seen(top)
        while frames:
            identity, children = frames[-1]
            for path, child in children:
                self._spend(VISIT_COST + len(path.path) // VISIT_COST)
                if isinstance(child, PickledTensor | NumpyArray):
                    yield FoundTensor(path, child)
                    continue
                is_reference = isinstance(child, Stub) and path.owner is not None and not path.submodule
                if id(child) in open_ids or (is_reference and id(child) in self._seen):
                    continue
                if len(frames) == MAX_DEPTH:
                    raise UnsafeFileError(f"{self._file}: the object is nested deeper than {MAX_DEPTH} levels")
                frames.append((id(child), self._children(child, path)))
                open_ids.add(id(child))
                self._mark_seen(child)
                break
            else:
                frames.pop()
                open_ids.discard(identity)

    def _children(self, node: object, path: TensorPath) -> Iterator[tuple[TensorPath, object]]:
        if isinstance(node, list | tuple):
            for index, value in enumerate(node):
                if self._may_contain_tensors(value):
                    yield path.child(str(index)), value
        elif isinstance(node, PickledDict):
            for name, value in self._items(node):
                if self._may_contain_tensors(value):
                    yield path.child(name), value
            if node.state is not None and self._may_contain_tensors(node.state):
                yield path.child("state"), node.state
        elif isinstance(node, Stub):
            yield from self._attributes(node, path)
            yield from self._children(node.pairs, path)
            yield from self._children(node.elements, path)
            if node.args and self._may_contain_tensors(node.args):
                yield path.child("args"), node.args

    def _attributes(self, stub: Stub, path: TensorPath) -> Iterator[tuple[TensorPath, object]]:
        is_scripted = stub.path.startswith(SCRIPTED_PREFIX)
        if is_scripted or is_module(stub):
            outermost = path.key is None
            root = path.path if outermost else path.root
            key = path.key or ()
            owner = self._describe(stub)
            if key in path.uses:
                owner = replace(owner, uses=path.uses[key])
            uses = path.uses
            if code := graph_code(stub):
                self._spend(len(code) // 4 + len(uses))
                uses = {**uses, **{(*key, *module): used for module, used in code_uses(code).items()}}
            inside = TensorPath(path=path.path, root=root, key=key, layer=key, owner=owner, uses=uses)
        else:
            inside = path
        attributes = stub.attributes()
        self._spend(len(attributes))
        for name, value in attributes.items():
            if inside.owner is not None and name in REGISTRIES and isinstance(value, PickledDict):
                for inner, child in self._items(value):
                    if self._may_contain_tensors(child):
                        child_path, key = (*inside.path, name, inner), (*(inside.key or ()), inner)
                        yield replace(inside, path=child_path, key=key, submodule=name == "_modules"), child
            elif self._may_contain_tensors(value):
                yield replace(inside.child(name), submodule=is_scripted and isinstance(value, Stub)), value
        yield from self._states(stub, inside)

    def _states(self, stub: Stub, inside: TensorPath) -> Iterator[tuple[TensorPath, object]]:
        """Yield what a stub has in a state that is no dictionary."""
        named = state_by_name(stub)
        for name in ("config", "weight", "bias"):
            if self._may_contain_tensors(named.get(name)):
                yield inside.child(name), named[name]
        for state in () if named else stub.states or ():
            if not isinstance(state, PickledDict) and self._may_contain_tensors(state):
                yield inside.child("state"), state

    def _mark_seen(self, value: object) -> None:
        """Mark an object and all its submodules, so that an attribute that refers to one does not name it first."""
        pending = [value]
        while pending:
            stub = pending.pop()
            if not isinstance(stub, Stub) or id(stub) in self._seen:
                continue
            self._seen.add(id(stub))
            self._spend(VISIT_COST)
            modules = stub.attributes().get("_modules")
            if isinstance(modules, PickledDict):
                pending.extend(child for _, child in self._items(modules) if self._may_contain_tensors(child))

    def _items(self, mapping: PickledDict) -> Sequence[tuple[str, object]]:
        """Return the items of a dictionary, which are paid for."""
        self._spend(len(mapping.pairs))
        return mapping.items()

    def _may_contain_tensors(self, value: object) -> bool:
        """Return whether a value is a tensor or a container that may have some; counts the values looked at."""
        if isinstance(value, list | tuple):
            self._spend(1 + len(value))
            return any(isinstance(element, _VISITED_TYPES) for element in value)
        self._spend(1)
        return isinstance(value, _VISITED_TYPES) and not (
            isinstance(value, PickledDict) and not value.pairs and value.state is None
        )

"""Fold the constants of a graph: values that are computed from stored tensors alone, by operators with a known rule."""

from __future__ import annotations

from typing import Final

from filtercrawl.extraction.lazy_tensor import LazyTensor, UnsupportedOperationError, stored
from filtercrawl_plugins.readers.onnx.graph.scope import Scope
from filtercrawl_plugins.readers.onnx.graph.types import Node, TensorLike
from filtercrawl_plugins.readers.onnx.tensors.dtypes import dtype_of
from filtercrawl_plugins.readers.onnx.tensors.storage import TensorStorage
from filtercrawl_plugins.readers.onnx.usage.fold_call import FoldCall
from filtercrawl_plugins.readers.onnx.usage.fold_rules import FOLD_RULES

_MAX_CHAIN: Final = 64
_MAX_INPUTS: Final = 64
_MAX_OUTPUTS: Final = 1024


class ConstantFolder:
    """Folds the values of one model, each once in each context in which its graph is run.

    No numbers are read but those that layouts depend on: shapes, axes and indices.
    """

    def __init__(self, storage: TensorStorage) -> None:
        self._storage = storage
        # The scopes are kept, so that no other one gets the same id.
        self._folded: dict[tuple[int, str], tuple[Scope, LazyTensor | None]] = {}

    def fold(self, scope: Scope, name: str) -> LazyTensor | None:
        """Return a value; the `origin` of its stored tensors is the start of their messages.

        Args:
            scope: Scope of the name.
            name: Name of the value.

        Returns:
            None if the value depends on an input of the model, or on an operator that has no rule.

        Raises:
            CheckpointError: A stored tensor does not fit its shape, or its file is too short.
        """
        key = id(scope), name
        if key not in self._folded:
            try:
                result: LazyTensor | None = self._fold(scope, name, 0)
            except UnsupportedOperationError:
                result = None
            self._folded[key] = scope, result
        return self._folded[key][1]

    def _fold(self, scope: Scope, name: str, depth: int) -> LazyTensor:
        known = self._folded.get((id(scope), name))
        if known is not None and known[1] is not None:
            return known[1]
        found = scope.find(name)
        if found is None or depth > _MAX_CHAIN:
            raise UnsupportedOperationError("not a constant")
        producer_scope, producer = found
        if not isinstance(producer, Node):
            return self._stored(producer)
        rule = FOLD_RULES.get(producer.domain, {}).get(producer.op_type)
        if len(producer.outputs) > _MAX_OUTPUTS:
            raise UnsupportedOperationError("more outputs than any operator has that is folded")
        # A name of a function's input is another one in the graph of its caller.
        output = producer.outputs.index(name) if name in producer.outputs else 0
        is_known = name in producer.outputs or len(producer.outputs) == 1
        if producer_scope.called_function(producer) is not None or len(producer.inputs) > _MAX_INPUTS:
            is_known = False
        if rule is None or not is_known:
            raise UnsupportedOperationError(f"the operator {producer.op_type}")
        inputs = [self._fold(producer_scope, value, depth + 1) if value else None for value in producer.inputs]
        result = rule(FoldCall(scope=producer_scope, node=producer, output=output, inputs=inputs))
        self._folded[id(scope), name] = scope, result
        return result

    def _stored(self, tensor: TensorLike) -> LazyTensor:
        location = self._storage.locate(tensor)
        if location is None:
            raise UnsupportedOperationError("numbers that cannot be read")
        return stored(location, dtype_of(tensor), tensor.message.start)

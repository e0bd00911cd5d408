"""Arrays that TensorFlow 1 and Caffe2 save beside a variable, under its name: averages and state of optimizers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from filtercrawl.api.tensor import StoredTensor

# `conv1/weights/ExponentialMovingAverage:0`, by `tf.train.ExponentialMovingAverage`: nothing else has this name.
_AVERAGE: Final = re.compile(r"[/.]ExponentialMovingAverage(?=(:\d+)?$)")
# `conv1/weights/Adam_1:0`, the slots of the optimizers of TensorFlow, and `conv1_w_momentum`, that of Caffe2's.
_MOMENT: Final = re.compile(r"(/(Momentum|Adam|AdamW|RMSProp|Adagrad|Adadelta|Ftrl)(_\d+)?(?=(:\d+)?$)|_momentum$)")


def resolve_slots(tensors: Iterable[StoredTensor]) -> Iterator[tuple[StoredTensor, str]]:
    """Yield each array with the name of the variable that it is.

    An average is its variable, whose raw copy has the reason `raw_copy`. A moment has the reason `optimizer_state` if
    the file has its variable, of the same shape.
    """
    arrays = tuple(tensors)
    shapes = {tensor.name: tensor.shape for tensor in arrays}
    averages = [tensor for tensor in arrays if tensor.reason is None and _AVERAGE.search(tensor.name)]
    averaged = {(_AVERAGE.sub("", tensor.name), tensor.shape) for tensor in averages}
    for tensor in arrays:
        variable = _AVERAGE.sub("", tensor.name)
        if variable != tensor.name:
            yield replace(tensor, key=_AVERAGE.sub("", tensor.key)), variable
        elif tensor.reason is None and (variable, tensor.shape) in averaged:
            yield replace(tensor, reason="raw_copy", rule="trainer_average"), variable
        elif (
            tensor.reason is None and _MOMENT.search(variable) and shapes.get(_MOMENT.sub("", variable)) == tensor.shape
        ):
            yield replace(tensor, reason="optimizer_state", rule="optimizer_name"), variable
        else:
            yield tensor, variable

"""What one wants of a dataset: layers chosen by a condition, tensors without copies, shuffled kernels.

`layers` gives a table, `tensors` and `flat` make tensors of it, `first_layers` gives those that see the picture, and
`Kernels` is a torch dataset to train on. A dataset is a folder, or `org/name` or `org/name@revision` on the Hub.
"""

from filtercrawl.load.kernel_dataset import Kernels
from filtercrawl.load.layers import first_layers, layers
from filtercrawl.load.tensors import flat, tensors

__all__ = ["Kernels", "first_layers", "flat", "layers", "tensors"]

"""What one wants of a dataset: layers chosen by a condition, tensors without copies, shuffled kernels.

`layers` gives a table, `tensors` and `flat` make tensors of it, `load_first_layers` gives those that see the picture,
and
`Kernels` is a torch dataset to train on. A dataset is a folder, or `org/name` or `org/name@revision` on the Hub.
"""

from filtercrawl.load.kernel_dataset import KernelDataset
from filtercrawl.load.layers import load_first_layers, load_layers
from filtercrawl.load.tensors import to_flat_tensor, to_tensors

__all__ = ["KernelDataset", "load_first_layers", "load_layers", "to_flat_tensor", "to_tensors"]

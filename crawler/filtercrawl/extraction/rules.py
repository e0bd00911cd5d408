"""Names of the rules that decide what a tensor is, as `filtercrawl inspect` shows them."""

from __future__ import annotations

from typing import Final

RULES: Final[dict[str, str]] = {
    # What the file states.
    "operator": "the file states the convolution: a graph, or the state of a module",
    "graph": "what the graph uses it for",
    "operator_shape": "the stated operator does not fit the shape",
    "reader": "the reader of the format decided",
    "module_class": "the class of the pickled or scripted module",
    "code": "the code of a TorchScript archive, read as text",
    "layout": "the file states the order of the axes of a kernel",
    # Which tensors are the model.
    "prefix": "outside the part of the file that the source names",
    "hyper_parameters": "a module among the arguments of a trainer whose weights are elsewhere in the file",
    "trainer_average": "the file holds a moving average of these weights, as trainers store it",
    "other_average": "the file holds several moving averages of these weights, and another one is emitted",
    "trainer_swap": "the trainer swaps: the average lies under the plain names, this is the raw copy",
    "optimizer_name": "the name of a moment or counter of an optimizer",
    "optimizer_container": "inside the state of an optimizer or scheduler",
    # Shapes, and the shapes of the other tensors of the module.
    "empty": "an axis of length zero",
    "dtype": "the type of the numbers",
    "location": "the file does not hold the numbers",
    "bias_per_channel": "a bias of one number per output channel: a convolution, or a matrix",
    "bias_shape": "a bias of the shape of the weight: no convolution has one",
    "bias_mismatch": "a bias whose length is not that of a convolution of this shape",
    "bank_bias": "a bias for each of several stacked kernels: a bank",
    "bank_routing": "a submodule that weights each of several stacked kernels: a bank",
    "bank_shape": "five axes whose last three are no kernel of three dimensions: a bank",
    "bank_generator": "below a module that holds a bank of kernels",
    "modulated_shape": "[1, out, in, k, k]: a modulated convolution",
    "sparse_order": "five axes in the order of sparse convolutions, or beside such: torch's order gives no 3-D kernel",
    "matrix_stack": "stacked matrices, longer than 1-D kernels are",
    # How the weight is stored.
    "weight": "a weight of three to five axes",
    "basis": "named as a transform, and shaped as one",
    "quantized_module": "beside the codes of a quantized weight, or such codes without a scale that can be applied",
    "masked": "weight and mask of pruning: the product is emitted",
    "weight_norm": "direction and length of weight normalization",
    "spectral_norm": "raw weight and vectors of spectral normalization",
    "orthogonal": "raw weight of an orthogonal parametrization",
    "parametrization": "the original of a parametrization",
    "fake_quantized": "rounded at run time by a fake quantizer",
    "weight_standardization": "raw weight beside the gain of weight standardization",
    "raw_name": "a name of raw weights: weight_orig, weight_bar, weight_raw",
    "computed_copy": "computed from other tensors of the file that are emitted",
    # Names, where shapes say nothing.
    "module_name": "the name of the module",
    "parameter_name": "the name of the parameter",
    "parameter_shape": "the number of axes, and the name of the parameter",
    "none": "no rule applies",
}

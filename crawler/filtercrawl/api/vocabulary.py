"""Vocabularies of the dataset: outcomes, reasons of the ledger, kernel policies, tasks."""

from __future__ import annotations

from typing import Final, Literal

# Which kernels are emitted.
KernelPolicy = Literal["3x3", "spatial", "all"]
# From narrow to wide: widening a policy is a change, narrowing it drops nothing.
POLICIES: Final[tuple[KernelPolicy, ...]] = ("3x3", "spatial", "all")

# In which form weights are looked at: as the checkpoint stores them, or as the network convolves with them.
WeightForm = Literal["raw", "effective"]
WEIGHT_FORMS: Final[tuple[WeightForm, ...]] = ("raw", "effective")

# Why a tensor is no emitted layer.
REASONS: Final[dict[str, str]] = {
    "pointwise": "a convolution of one tap, left out unless --kernel-size all",
    "dense": "a fully connected layer that is stored as a convolution, left out unless --kernel-size all",
    "kernel_size": "a convolution whose size --kernel-size leaves out",
    "bias": "an offset, one number a channel",
    "norm": "scale, offset or running statistics of a normalization",
    "scale": "a learned gain that multiplies activations or weights",
    "activation": "a parameter of an activation function",
    "linear": "the matrix of a fully connected layer",
    "embedding": "a table of vectors looked up by index",
    "attention_position": "a position embedding or a bias by relative position",
    "recurrent": "a weight of a recurrent cell",
    "optimizer_state": "a moment or a counter of an optimizer",
    "raw_copy": "the raw copy, or another average, of weights whose moving average is emitted",
    "kernel_generator": "a matrix from which kernels are computed at run time",
    "nonstandard_operator": "looks like kernels, but belongs to no convolution of the standard kind",
    "unknown_layout": "may be kernels, but nothing in the file tells the order of their axes",
    "quantization": "a scale or zero point of quantized weights",
    "quantized_codes": "quantized codes whose scale the file does not hold, or does not show how it is applied",
    "weight_operand": "a part or a factor of a weight that is emitted under the name of a larger tensor",
    "buffer": "state that is no weight: counters, masks, caches",
    "constant": "a constant of the graph that is no weight of a convolution",
    "outside_prefix": "outside the part of the file that is the model",
    "empty": "holds no numbers",
    "complex": "complex numbers",
    "other": "a weight of none of these kinds",
    "unreadable": "the file does not hold the numbers, or they cannot be decoded",
}

# What became of a checkpoint.
OUTCOMES: Final = ("emitted", "no_kernels", "duplicate", "skipped", "failed", "withdrawn")

# Extensions of weight files that readers read: such a file that no reader can read is recorded as failed. Those of
# other weight files are in `filtercrawl.api.format_names`.
WEIGHT_EXTENSIONS: Final = frozenset(
    {
        ".safetensors", ".pt", ".pth", ".th", ".bin", ".ckpt", ".pkl", ".tar", ".jit", ".distcp", ".onnx", ".npz",
        ".h5", ".hdf5", ".keras", ".msgpack", ".pdparams", ".tflite",
    }
)  # fmt: skip

# Tasks as the Hugging Face Hub names them.
TASKS: Final = frozenset(
    {
        "any-to-any", "audio-classification", "audio-text-to-text", "audio-to-audio", "automatic-speech-recognition",
        "depth-estimation", "document-question-answering", "feature-extraction", "fill-mask", "graph-ml",
        "image-classification", "image-feature-extraction", "image-segmentation", "image-text-to-image",
        "image-text-to-text", "image-text-to-video", "image-to-3d", "image-to-image", "image-to-text", "image-to-video",
        "keypoint-detection", "mask-generation", "multiple-choice", "object-detection", "other", "question-answering",
        "reinforcement-learning", "robotics", "sentence-similarity", "summarization", "table-question-answering",
        "table-to-text", "tabular-classification", "tabular-regression", "tabular-to-text", "text-classification",
        "text-generation", "text-ranking", "text-retrieval", "text-to-3d", "text-to-audio", "text-to-image",
        "text-to-speech", "text-to-video", "time-series-forecasting", "token-classification", "translation",
        "unconditional-image-generation", "video-classification", "video-text-to-text", "video-to-video",
        "visual-document-retrieval", "visual-question-answering", "voice-activity-detection",
        "zero-shot-classification", "zero-shot-image-classification", "zero-shot-object-detection",
    }
)  # fmt: skip

# Kinds of weights that analyses use. Raw weights of a standardized convolution are trained too.
TRAINED: Final = ("learned", "standardized")

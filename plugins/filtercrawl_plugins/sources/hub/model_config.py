"""The config.json of a repository: fetch it, reduce it, and read the architecture from it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from filtercrawl.api.errors import AccessDeniedError, CheckpointError, NotFoundError
from filtercrawl_plugins.sources.shared.untrusted_text import is_finite_number, sanitize_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from filtercrawl.api.checkpoint import RemoteFile
    from filtercrawl.api.transport import Transport

# Bytes of a file that is fetched; in the largest ones most are class labels.
MAX_CONFIG_BYTES: Final = 1024 * 1024
# Characters of the reduced config, which is stored in the dataset with every checkpoint.
_MAX_REDUCED_LENGTH: Final = 16 * 1024
# Class names and provenance: no part of an architecture.
_DROPPED_KEYS: Final = frozenset({"id2label", "label2id", "label_names", "_name_or_path", "task_specific_params"})
# Of timm's pretrained_cfg, which describes the training, the keys that describe the input and the head.
_PRETRAINED_CFG_KEYS: Final = ("input_size", "num_classes", "fixed_input_size", "pool_size")

# Model types of transformers without any convolution, not even a patch embedding, checked against the code of
# transformers 5.23. A type that is not listed is unknown.
_TYPE_NAMES: Final = """
    albert bart bert bert-generation big_bird bigbird_pegasus biogpt blenderbot blenderbot-small bloom camembert
    clip_text_model codegen cohere cohere2 cpmant ctrl data2vec-text dbrx deberta deepseek_v2 deepseek_v3
    diffllama distilbert electra ernie esm exaone4 falcon flaubert fsmt gemma gemma2 gemma3_text glm glm4 gpt2
    gpt_bigcode gpt_neo gpt_neox gpt_oss gptj granite granitemoe helium ibert led lilt llama longformer longt5 luke
    m2m_100 marian mbart megatron-bert mistral mixtral mobilebert modernbert mpnet mpt mt5 mvp nemotron
    nomic_bert olmo olmo2 olmoe openai-gpt opt pegasus pegasus_x persimmon phi phi3 phimoe plbart prophetnet qwen2
    qwen2_moe qwen3 qwen3_moe rembert roberta roberta-prelayernorm roc_bert roformer smollm3 splinter stablelm
    starcoder2 switch_transformers t5 tapas umt5 xglm xlm xlm-roberta xlm-roberta-xl xlnet xmod
"""
_TYPES_WITHOUT_CONVOLUTIONS: Final = frozenset(_TYPE_NAMES.split())
# Class names of transformers are the model type and one of these: `BertForMaskedLM`, `T5EncoderModel`.
_CLASS_SUFFIX: Final = (
    r"(for\w+|model\w*|lmheadmodel|doubleheadsmodel|mtmodel|encoder\w*|decoder\w*|generation\w*|with\w+)?"
)


def fetch_config(transport: Transport, file: RemoteFile) -> dict[str, Any] | None:
    """Fetch a config.json and reduce it; see `reduce_config`.

    Returns:
        None if its size is unknown or more than 1 MiB, if access is denied, or if it is not a usable JSON object.

    Raises:
        NetworkError: The server cannot be reached.
    """
    if file.size is None or not 2 <= file.size <= MAX_CONFIG_BYTES:
        return None
    opened = transport.open(file)
    try:
        return parse_config(opened.read(0, file.size))
    except (NotFoundError, AccessDeniedError, CheckpointError):
        return None
    finally:
        getattr(opened, "close", lambda: None)()


def parse_config(data: bytes) -> dict[str, Any] | None:
    """Parse and reduce a config; None if it is not a JSON object or `reduce_config` rejects it."""
    try:
        config = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return reduce_config(config) if isinstance(config, dict) else None


def reduce_config(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a config without class labels and training settings, as far as building the architecture needs it.

    Returns:
        The reduced config; `id2label` becomes `num_labels`. None if more than 16 KiB of JSON are left, or if a string
        is not printable or a number not finite.
    """
    reduced = {key: value for key, value in config.items() if key not in _DROPPED_KEYS}
    labels = config.get("id2label")
    if isinstance(labels, dict) and "num_labels" not in reduced and "num_classes" not in reduced:
        reduced["num_labels"] = len(labels)
    pretrained = reduced.get("pretrained_cfg")
    if isinstance(pretrained, dict):
        reduced["pretrained_cfg"] = {key: pretrained[key] for key in _PRETRAINED_CFG_KEYS if key in pretrained}
    try:
        storable = _is_storable(reduced) and len(json.dumps(reduced)) <= _MAX_REDUCED_LENGTH
    except RecursionError:
        storable = False
    return reduced if storable else None


def architecture(config: Mapping[str, Any] | None) -> str | None:
    """Return the architecture that a config of timm, diffusers or transformers names, None if it names none."""
    config = config or {}
    classes = config.get("architectures")
    first_class = classes[0] if isinstance(classes, list) and classes else None
    for value in (config.get("architecture"), config.get("_class_name"), first_class, config.get("model_type")):
        if text := sanitize_text(value):
            return text
    return None


def has_no_convolutions(config: Mapping[str, Any] | None) -> str | None:
    """Return why a network with this config has no convolution at all, so that its weights need not be fetched.

    Args:
        config: A config.json, or the excerpt of it that the Hub's listings contain.

    Returns:
        The reason, or None if the network may have convolutions.
    """
    model_type = (config or {}).get("model_type")
    if not config or not isinstance(model_type, str) or model_type not in _TYPES_WITHOUT_CONVOLUTIONS:
        return None
    # Code that comes with the repository may implement anything under a known name.
    if "auto_map" in config:
        return None
    classes = config.get("architectures") or []
    if not isinstance(classes, list) or not all(_is_class_of(model_type, name) for name in classes):
        return None
    return f"no convolutions: model type {model_type}"


def _is_class_of(model_type: str, class_name: object) -> bool:
    prefix = re.sub(r"[^a-z0-9]", "", model_type.removesuffix("_text"))
    return isinstance(class_name, str) and re.fullmatch(prefix + _CLASS_SUFFIX, class_name.lower()) is not None


def _is_storable(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_storable(key) and _is_storable(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(_is_storable, value))
    if isinstance(value, str):
        return value.isprintable()
    return value is None or is_finite_number(value)

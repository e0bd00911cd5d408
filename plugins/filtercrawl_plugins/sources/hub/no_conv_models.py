"""Which architectures hold no convolution at all, so that nothing of them need be fetched to know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

# Model types of transformers whose code has no convolution, not even a patch embedding (held
# against that of version 5.23). What is not here is unknown.
_NAMES: Final = """
    albert bart bert bert-generation big_bird bigbird_pegasus biogpt blenderbot blenderbot-small bloom camembert
    clip_text_model codegen cohere cohere2 cpmant ctrl data2vec-text dbrx deberta deepseek_v2 deepseek_v3
    diffllama distilbert electra ernie esm exaone4 falcon flaubert fsmt gemma gemma2 gemma3_text glm glm4 gpt2
    gpt_bigcode gpt_neo gpt_neox gpt_oss gptj granite granitemoe helium ibert led lilt llama longformer longt5 luke
    m2m_100 marian mbart megatron-bert mistral mixtral mobilebert modernbert mpnet mpt mt5 mvp nemotron
    nomic_bert olmo olmo2 olmoe openai-gpt opt pegasus pegasus_x persimmon phi phi3 phimoe plbart prophetnet qwen2
    qwen2_moe qwen3 qwen3_moe rembert roberta roberta-prelayernorm roc_bert roformer smollm3 splinter stablelm
    starcoder2 switch_transformers t5 tapas umt5 xglm xlm xlm-roberta xlm-roberta-xl xlnet xmod
"""
WITHOUT: Final = frozenset(_NAMES.split())
_HEADS: Final = r"(for\w+|model\w*|lmheadmodel|doubleheadsmodel|mtmodel|encoder\w*|decoder\w*|generation\w*|with\w+)?"


def has_no_convolutions(config: Mapping[str, Any] | None) -> str | None:
    """Say why a network with this config.json, or an excerpt of it, can hold no convolution; None where it may."""
    kind = (config or {}).get("model_type")
    if not config or not isinstance(kind, str) or kind not in WITHOUT or "auto_map" in config:
        return None  # code that comes with the repo may do anything under a known name
    named = config.get("architectures") or []
    if not isinstance(named, list) or not all(_is_of(kind, name) for name in named):
        return None
    return f"no convolutions: model type {kind}"


def _is_of(kind: str, architecture: object) -> bool:
    plain = re.sub(r"[^a-z0-9]", "", kind.removesuffix("_text"))
    return isinstance(architecture, str) and re.fullmatch(plain + _HEADS, architecture.lower()) is not None

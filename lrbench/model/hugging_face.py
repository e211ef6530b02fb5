"""Language models of the library transformers, from a configuration or from a folder."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lrbench.config.checks import nearest
from lrbench.task import Shapes


class HuggingFaceModule(nn.Module):
    """The logits of a causal language model of transformers, as one tensor."""

    def __init__(self, model: nn.Module, vocabulary: int) -> None:
        super().__init__()
        self.model = model
        self.vocabulary = vocabulary

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (N, context, vocabulary) for `tokens`, int64 (N, context)."""
        logits: Tensor = self.model(input_ids=tokens, use_cache=False).logits
        return logits[..., : self.vocabulary]


def build_hugging_face(
    given: Mapping[str, Any], folder: Path | None, shapes: Shapes
) -> HuggingFaceModule:
    """The causal language model that `given` describes, or the one in `folder` with its weights.

    Nothing is downloaded, and no code is run but that of transformers itself: of a configuration
    only those keys count that its class declares. Without a `folder`, no token is special, the
    vocabulary is the data's, and so is the number of positions where `given` says none.

    Args:
        given: as in a config.json, with its ``model_type``.
        folder: with config.json and *.safetensors, as transformers' `save_pretrained` writes them.

    Raises:
        ValueError: there is no such model, or it does not fit the data or the weights.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when transformers is imported
    try:
        import transformers
    except ImportError as error:
        raise ValueError("model=hugging_face needs a package: pip install transformers") from error
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    causal: Any = transformers.AutoModelForCausalLM
    context, vocabulary = shapes.of_tokens("HuggingFace")
    try:
        if folder is None:
            config = _configuration(given, {"context": context, "vocabulary": vocabulary})
            model = causal.from_config(config, trust_remote_code=False, dtype=torch.float32)
            return HuggingFaceModule(model, vocabulary)
        config = _configuration(json.loads((folder / "config.json").read_text()), {})
        if config.vocab_size < vocabulary:
            raise ValueError(
                f"it has {config.vocab_size} tokens, and the data {vocabulary}: write "
                f"dataset.tokenizer={folder / 'tokenizer.json'} if that is there"
            )
        model, found = causal.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # which are told below
            dtype=torch.float32,
        )
    except Exception as error:  # whatever transformers raises at a wrong value
        if "memory" in str(error):  # which is told in other words
            raise
        place = "model.config" if folder is None else f"model.folder={folder}"
        raise ValueError(f"{place}: {' '.join(str(error).split())}") from error
    misfits = [*found["missing_keys"], *(str(key) for key in found["mismatched_keys"])]
    if misfits:
        raise ValueError(
            f"model.folder={folder} has no fitting weights for {', '.join(misfits[:3])}: its "
            "config.json is of another model"
        )
    return HuggingFaceModule(model, vocabulary)


def _configuration(given: Mapping[str, Any], sizes: Mapping[str, int]) -> Any:
    """A configuration of transformers with those keys of `given` that its class declares.

    Args:
        sizes: of the data, for a new model, all of whose keys must be declared.

    Raises:
        ValueError: it is of no causal language model, or a key is not declared.
    """
    from transformers import CONFIG_MAPPING, PretrainedConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as KINDS

    keys = dict(given)
    kind = keys.pop("model_type", None)
    if kind not in KINDS:
        known = nearest(str(kind), KINDS)
        raise ValueError(f"model_type={kind} is no causal language model of transformers{known}")
    cls: Any = CONFIG_MAPPING[kind]
    names = {field.name for field in dataclasses.fields(cls)} | set(cls.attribute_map)
    names -= {field.name for field in dataclasses.fields(PretrainedConfig)}
    if not sizes:
        return cls(**{key: value for key, value in keys.items() if key in names})
    for key, value in keys.items():
        if key not in names:
            known = nearest(key, names)
            raise ValueError(f"{key}={value} is not a key of {cls.__name__}{known}")
    own: dict[str, int | None] = {key: None for key in names if key.endswith("_token_id")}
    places = cls.attribute_map.get("max_position_embeddings", "max_position_embeddings")
    if places in names:
        own[places] = sizes["context"]
    return cls(**{**own, **keys, "vocab_size": sizes["vocabulary"]})

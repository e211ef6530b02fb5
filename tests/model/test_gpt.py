"""The decoder against transformers' GPT-2 and Llama with the same weights, and what it refuses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lrbench.config import load
from lrbench.model import build_model
from lrbench.task import Shapes

CONTEXT, VOCABULARY = 16, 50


def gpt(name: str = "gpt_tiny", *, seed: int = 0, **changes: Any) -> nn.Module:
    shapes = Shapes(inputs=(CONTEXT,), outputs=(CONTEXT, VOCABULARY), whole_inputs=True)
    return build_model(load("model", name, **changes), shapes, seed=seed)


def tokens(count: int = 3) -> Tensor:
    return torch.randint(VOCABULARY, (count, CONTEXT), generator=torch.manual_seed(0))


def moved(network: nn.Module) -> dict[str, Tensor]:
    """The weights of `network`, far from their initial values so that each one matters."""
    generator = torch.manual_seed(1)
    for weights in network.parameters():
        weights.data += 0.1 * torch.randn(weights.shape, generator=generator)
    return {name: weights.detach().clone() for name, weights in network.named_parameters()}


def test_logits_of_gpt2() -> None:
    transformers = pytest.importorskip("transformers")
    network = gpt(bias=True, gelu="tanh").eval()
    own = moved(network)
    theirs = {"wte.weight": own["embeddings.weight"], "wpe.weight": own["positions"]}
    theirs |= {f"ln_f.{kind}": own[f"norm.{kind}"] for kind in ("weight", "bias")}
    parts = {"norm1": "ln_1", "norm2": "ln_2", "queries_keys_values": "attn.c_attn"}
    parts |= {"projection": "attn.c_proj", "hidden": "mlp.c_fc", "output": "mlp.c_proj"}
    for block in range(2):
        for part, name in parts.items():
            weight = own[f"blocks.{block}.{part}.weight"]
            theirs[f"h.{block}.{name}.weight"] = weight.T if weight.ndim == 2 else weight
            theirs[f"h.{block}.{name}.bias"] = own[f"blocks.{block}.{part}.bias"]
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=64, n_layer=2, n_head=4
    )
    oracle = transformers.GPT2LMHeadModel(config).eval()
    oracle.transformer.load_state_dict(theirs)
    with torch.no_grad():
        torch.testing.assert_close(network(tokens()), oracle(tokens()).logits, rtol=1e-3, atol=1e-4)


def test_rotary_positions_and_rms_norm_are_llamas() -> None:
    transformers = pytest.importorskip("transformers")
    network = gpt(positions="rotary", norm="rmsnorm").eval()
    own = moved(network)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=64, num_attention_heads=4, num_hidden_layers=1,
        intermediate_size=1, max_position_embeddings=CONTEXT, rms_norm_eps=1e-5,
    )  # fmt: skip
    oracle = transformers.LlamaModel(config).eval().layers[0]
    rotation = transformers.models.llama.modeling_llama.LlamaRotaryEmbedding(config)
    weights = own["blocks.0.queries_keys_values.weight"].chunk(3)
    for name, weight in zip("qkv", weights, strict=True):
        oracle.self_attn.get_submodule(f"{name}_proj").weight.data = weight
    oracle.self_attn.o_proj.weight.data = own["blocks.0.projection.weight"]
    oracle.input_layernorm.weight.data = own["blocks.0.norm1.weight"]
    stream = torch.randn(2, CONTEXT, 64, generator=torch.manual_seed(0))
    block: Any = network.get_submodule("blocks.0")
    places = torch.arange(CONTEXT)[None]
    mask = torch.full((CONTEXT, CONTEXT), -math.inf).triu(1)[None, None]
    with torch.no_grad():
        normed = oracle.input_layernorm(stream)
        expected, _ = oracle.self_attn(normed, rotation(stream, places), attention_mask=mask)
        found = block.attention(block.norm1(stream), network.rotation)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"positions": "rotary", "norm": "rmsnorm"}])
def test_no_logit_sees_a_later_token(changes: dict[str, Any]) -> None:
    network, given = gpt(**changes).eval(), tokens()
    other = given.clone()
    other[:, 9:] = (other[:, 9:] + 1) % VOCABULARY
    with torch.no_grad():
        before, after = network(given), network(other)
    torch.testing.assert_close(before[:, :9], after[:, :9], rtol=1e-4, atol=1e-5)
    assert not torch.isclose(before[:, 9:], after[:, 9:]).all(-1).any()


@pytest.mark.parametrize(
    ("name", "context", "vocabulary", "weights"),
    [
        ("gpt2_124m", 1024, 50_257, 124_439_808),  # transformers' count
        ("gpt_nano", 64, 65, 804_096),  # nanoGPT says 0.80 M, and so does its count of 795,904
        ("gpt_mini", 256, 65, 10_745_088),  # without positions: 10.65 M
    ],
)
def test_numbers_of_weights(name: str, context: int, vocabulary: int, weights: int) -> None:
    shapes = Shapes(inputs=(context,), outputs=(context, vocabulary), whole_inputs=True)
    with torch.device("meta"):
        network = load("model", name).build(shapes)
    assert sum(p.numel() for p in network.parameters()) == weights
    if name == "gpt_nano":
        assert weights - network.positions.numel() == 795_904


def test_initial_weights_are_gpt2s_and_depend_on_the_seed() -> None:
    network = gpt("gpt_nano", bias=True)
    for name, weights in network.named_parameters():
        expected = 0.02 / math.sqrt(
            8 if name.endswith(("projection.weight", "output.weight")) else 1
        )
        if weights.ndim == 2:
            assert weights.std().item() == pytest.approx(expected, rel=0.05), name
        else:
            assert weights.unique().tolist() == [float("norm" in name and "weight" in name)]
    same, other = gpt("gpt_nano", seed=0, bias=True), gpt("gpt_nano", seed=1, bias=True)
    for name, weights in network.named_parameters():
        assert torch.equal(weights, same.get_parameter(name))
        assert weights.ndim == 1 or not torch.equal(weights, other.get_parameter(name))


def test_dropout_is_of_training_alone() -> None:
    network, given = gpt(dropout=0.5), tokens()
    assert not torch.equal(network(given), network(given))
    network.eval()
    assert torch.equal(network(given), network(given))


def test_it_compiles_into_one_graph() -> None:
    compiled = torch.compile(gpt(), backend="eager", fullgraph=True)
    assert compiled(tokens()).shape == (3, CONTEXT, VOCABULARY)


def test_weights_for_another_vocabulary_are_refused(tmp_path: Path) -> None:
    torch.save(gpt().state_dict(), tmp_path / "weights.pt")
    shapes = Shapes(inputs=(CONTEXT,), outputs=(CONTEXT, 40), whole_inputs=True)
    own = load("model", "gpt_tiny", weights=str(tmp_path / "weights.pt"))
    with pytest.raises(
        ValueError, match=r"does not fit: embeddings\.weight is \(50, 64\) there and"
    ):
        build_model(own, shapes, seed=0)


def test_images_and_tokens_want_models_of_their_own() -> None:
    text = Shapes(inputs=(8,), outputs=(8, 50), whole_inputs=True)
    with pytest.raises(
        ValueError, match=r"^model=CifarResNet takes square.*such as model=gpt_tiny$"
    ):
        build_model(load("model", "resnet8"), text, seed=0)
    images = Shapes(inputs=(1, 8, 8), outputs=(10,))
    with pytest.raises(ValueError, match=r"^model=GPT takes tokens .* such as model=mlp$"):
        build_model(load("model", "gpt_tiny"), images, seed=0)


LLAMA: dict[str, Any] = {
    **{"model_type": "llama", "num_hidden_layers": 1, "num_attention_heads": 2},
    **{"hidden_size": 8, "intermediate_size": 8},
}


def hugging_face(vocabulary: int = VOCABULARY, **keys: Any) -> nn.Module:
    shapes = Shapes(inputs=(CONTEXT,), outputs=(CONTEXT, vocabulary), whole_inputs=True)
    return build_model(load("model", "hugging_face", **keys), shapes, seed=0)


@pytest.mark.parametrize(
    "config",
    [
        LLAMA,
        {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 8},
        {"model_type": "opt", **{k: LLAMA[k] for k in LLAMA if k.startswith(("num", "hidden"))}},
    ],
)
def test_models_of_transformers_by_their_config(config: dict[str, Any]) -> None:
    pytest.importorskip("transformers")
    network, again = hugging_face(config=config), hugging_face(config=config)
    assert network(tokens()).shape == (3, CONTEXT, VOCABULARY)
    assert all(map(torch.equal, network.parameters(), again.parameters()))
    network(torch.ones(1, CONTEXT, dtype=torch.int64)).sum().backward()  # no token is padding
    first = next(w for w in network.parameters() if w.shape[0] == VOCABULARY)
    assert first.grad is not None
    assert first.grad[1].abs().sum() > 0


def test_models_of_transformers_from_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    saved: Any = hugging_face(config=LLAMA)
    moved(saved)
    saved.model.save_pretrained(tmp_path)
    found = hugging_face(VOCABULARY - 3, config={}, folder=str(tmp_path))
    assert torch.equal(found(tokens() % 40), saved(tokens() % 40)[..., :-3])
    with pytest.raises(ValueError, match="it has 50 tokens, and the data 51: write "):
        hugging_face(51, folder=str(tmp_path))
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace('"hidden_size": 8', '"hidden_size": 16'))
    with pytest.raises(ValueError, match="has no fitting weights for "):
        hugging_face(folder=str(tmp_path))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"model_type": "lama"}, "model_type=lama is no causal language model.*mean llama?"),
        ({"model_type": "bert-japanese"}, "model_type=bert-japanese is no causal language model"),
        ({**LLAMA, "attn_implementation": "a/b"}, "attn_implementation=a/b is not a key of Llama"),
        ({**LLAMA, "auto_map": {"x": "y"}}, "auto_map=.* is not a key of LlamaConfig"),
        ({"model_type": "gpt2", "n_head": 5}, "model.config: .*must be divisible by num_heads"),
    ],
)
def test_configs_of_transformers_that_are_refused(keys: dict[str, Any], said: str) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(ValueError, match=said):
        hugging_face(config=keys)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(ValueError, match=r"^model\.folder=.*No such file or directory.*config"):
        hugging_face(folder=str(tmp_path))

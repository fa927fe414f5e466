"""The Llama-style decoder against ``transformers``."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from orbital_train.train.models.llama import Llama, llama

SHAPE = {"vocabulary_size": 40, "layers": 2, "heads": 4, "kv_heads": 2, "width": 32, "hidden": 48}
OURS_IN_THEIRS = {
    "norm_1": "input_layernorm",
    "attention.q": "self_attn.q_proj",
    "attention.k": "self_attn.k_proj",
    "attention.v": "self_attn.v_proj",
    "attention.project": "self_attn.o_proj",
    "norm_2": "post_attention_layernorm",
    "gate": "mlp.gate_proj",
    "expand": "mlp.up_proj",
    "contract": "mlp.down_proj",
}


def theirs_with_weights_of(ours: Llama) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=40,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        hidden_size=32,
        intermediate_size=48,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
    )
    theirs = LlamaForCausalLM(config)
    state = {"model.embed_tokens.weight": ours.tokens.weight, "model.norm.weight": ours.norm.weight}
    state["lm_head.weight"] = ours.tokens.weight
    for k, block in enumerate(ours.blocks):
        for name, other in OURS_IN_THEIRS.items():
            state[f"model.layers.{k}.{other}.weight"] = block.get_submodule(name).weight
    theirs.load_state_dict(state)
    return theirs


def test_it_is_the_function_of_transformers() -> None:
    torch.manual_seed(1)
    ours = llama(**SHAPE)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.mul_(10.0).add_(0.1)  # so that attention is far from uniform
    x_BT = torch.randint(40, (3, 20))
    expected = theirs_with_weights_of(ours)(input_ids=x_BT, labels=x_BT)
    torch.testing.assert_close(ours.logits_BTV(x_BT), expected.logits, rtol=1e-4, atol=1e-4)
    assert ours(x_BT[:, :-1], x_BT[:, 1:]).item() == pytest.approx(expected.loss.item(), rel=1e-5)


def test_the_hidden_width_is_rounded_up() -> None:
    shape = SHAPE | {"hidden": None, "width": 64}
    assert llama(**shape).blocks[0].gate.out_features == 176  # 8/3 of 64 is 170.7

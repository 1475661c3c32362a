import math

import pytest
import torch

from b2scvr.layers.token_dictionary import (
    CategoryAttention,
    ShiftedWindowAttention,
    TokenDictionaryAttention,
    TokenDictionaryBlock,
    TokenRefinement,
)

VARIANTS = {
    "dictionary only": {},
    "windows": {"window": 4},
    "categories": {"category_size": 8},
    "all": {"window": 4, "category_size": 8},
}


def block(**options):
    torch.manual_seed(0)
    return TokenDictionaryBlock(8, num_tokens=5, depth=2, reduced_dim=3, conv_kernel=3, **options)


def test_similarity_sums_to_one_and_equal_tokens_share_it():
    attention = TokenDictionaryAttention(8, 5, 3)
    found, similarity = attention(torch.randn(2, 7, 8), torch.randn(2, 1, 8).expand(2, 5, 8))
    assert torch.allclose(similarity, torch.full((2, 7, 5), 0.2))
    assert torch.allclose(found, found[:, :1].expand_as(found), atol=1e-6)


def test_attention_follows_the_cosine():
    attention = TokenDictionaryAttention(2, 2, 2)
    with torch.no_grad():
        for layer in (attention.wq, attention.wk, attention.wv):
            layer.weight.copy_(torch.eye(2))
            layer.bias.zero_()
        attention.scale.fill_(1)
    # Length of the vectors plays no part: cosine 1 with the first token, 0 with the second.
    _, similarity = attention(torch.tensor([[[9.0, 0.0]]]), torch.tensor([[[0.1, 0.0], [0.0, 5.0]]]))
    sharpness = 1 + math.log(2)
    assert similarity[0, 0, 0].item() == pytest.approx(1 / (1 + math.exp(-sharpness)), abs=1e-6)


def test_refinement_starts_as_the_mean_of_token_and_content():
    refinement = TokenRefinement(3)
    tokens, content = torch.ones(1, 3, 4), torch.full((1, 6, 4), 5.0)
    refined = refinement(tokens, content, torch.rand(1, 6, 3).softmax(-1))
    assert torch.allclose(refined, torch.full((1, 3, 4), 3.0))


def test_category_attention_mixes_inside_a_category_only():
    attention = CategoryAttention(4, 1, category_size=2).double()
    torch.nn.init.eye_(attention.proj.weight)
    torch.nn.init.zeros_(attention.proj.bias)
    value = torch.arange(16, dtype=torch.float64).reshape(1, 4, 4)
    qkv = torch.cat((torch.zeros(1, 4, 8, dtype=torch.float64), value), -1)
    category = torch.tensor([0, 1, 0, 1])
    out = attention(qkv, torch.nn.functional.one_hot(category, 2)[None].double())
    # Queries and keys are zero, so each position gets the mean of the two positions of its category.
    assert torch.allclose(out[0, 0], value[0, [0, 2]].mean(0))
    assert torch.allclose(out[0, 3], value[0, [1, 3]].mean(0))


def test_category_attention_in_steps_is_the_fused_one():
    torch.manual_seed(0)
    fused, steps = CategoryAttention(8, 2, 5), CategoryAttention(8, 2, 5, fused=False)
    steps.load_state_dict(fused.state_dict())
    qkv, similarity = torch.randn(2, 13, 24), torch.rand(2, 13, 4)
    assert torch.allclose(fused(qkv, similarity), steps(qkv, similarity), atol=1e-5)


def test_window_attention_stays_in_its_window():
    attention = ShiftedWindowAttention(4, 2, window=4, shifted=False)
    qkv = torch.randn(1, 64, 12)
    changed = qkv.clone().reshape(1, 8, 8, 12)
    changed[:, :4, :4] += 1
    moved = (attention(changed.reshape(1, 64, 12), (8, 8)) - attention(qkv, (8, 8))).reshape(8, 8, 4).abs().sum(-1)
    assert moved[:4, :4].min() > 0
    assert moved[4:].max() == 0 and moved[:, 4:].max() == 0


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS.keys())
@pytest.mark.parametrize("learned", [True, False])
def test_block_forward_backward(options, learned):
    module = block(learned_dictionary=learned, **options)
    x = torch.randn(2, 8, 7, 9)
    tokens = None if learned else torch.randn(2, 5, 8)
    out = module(x, tokens)
    assert out.shape == x.shape
    assert out.isfinite().all()
    out.square().mean().backward()
    assert [name for name, p in module.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    with torch.no_grad():
        alone = torch.cat([module(x[i : i + 1], None if learned else tokens[i : i + 1]) for i in range(2)])
    assert torch.allclose(out, alone, atol=1e-5)


def test_block_on_one_position():
    assert block(learned_dictionary=True, category_size=8, window=4)(torch.randn(1, 8, 1, 1)).isfinite().all()


def test_tokens_that_do_not_fit_are_refused():
    x = torch.zeros(1, 8, 4, 4)
    with pytest.raises(ValueError, match="needs tokens"):
        block()(x)
    with pytest.raises(ValueError, match="takes no tokens"):
        block(learned_dictionary=True)(x, torch.zeros(1, 5, 8))
    with pytest.raises(ValueError, match="expected 5 tokens, got 4"):
        block()(x, torch.zeros(1, 4, 8))
    with pytest.raises(ValueError, match="3 heads"):
        TokenDictionaryBlock(8, 5, 1, num_heads=3, window=4)

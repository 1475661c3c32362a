"""Temporal focal transformer: its keys, its masks, its independence of padding and of what is not asked for."""

import pytest
import torch
import torch.nn.functional as F

from b2scvr.layers.focal_transformer import FocalWindowAttention, FusionFeedForward, TemporalFocalBlock
from b2scvr.layers.focal_transformer import TemporalFocalTransformer as Transformer
from b2scvr.layers.patch_embedding import SoftComposition
from b2scvr.ops.patches import PatchGrid

SMALL = dict(heads=2, window=(2, 3), expand=(1, 1), focal_window=(3, 3))


def pass_values(attention: FocalWindowAttention, dim: int) -> FocalWindowAttention:
    """Make values and output the identity."""
    with torch.no_grad():
        attention.qkv.weight[2 * dim :] = torch.eye(dim)
        attention.qkv.bias.zero_()
        attention.proj.weight.copy_(torch.eye(dim))
        attention.proj.bias.zero_()
    return attention


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (1, 1)])
def test_equal_tokens_come_through_whatever_is_padded(size):
    """Were padding or positions outside the grid looked at, the mean of equal values would not be that value."""
    attention = pass_values(FocalWindowAttention(4, **SMALL), 4)
    tokens = torch.rand(1, 1, 1, 1, 4).expand(1, 3, *size, 4)
    torch.testing.assert_close(attention(tokens[:, :1], tokens), tokens[:, :1])


def test_published_keys_a_window():
    attention = FocalWindowAttention(4, heads=2)
    assert len(attention.fine_positions) == 45 + 120
    assert len(attention.pooled_positions) == 45


def test_far_tokens_are_seen_through_pooled_windows_only():
    torch.manual_seed(0)
    near = FocalWindowAttention(4, heads=2, window=(2, 2), expand=(1, 1), focal_window=(1, 1))
    wide = FocalWindowAttention(4, heads=2, window=(2, 2), expand=(1, 1), focal_window=(7, 7))
    tokens = torch.randn(1, 1, 8, 8, 4)
    changed = tokens.clone()
    changed[0, 0, 7, 7] += 1
    for attention, seen in ((near, False), (wide, True)):
        difference = attention(tokens, tokens)[0, 0, 0, 0] - attention(changed, changed)[0, 0, 0, 0]
        assert (difference.abs().max() > 1e-6) == seen


def test_one_picture_asked_for_is_the_same_as_among_all():
    torch.manual_seed(0)
    block = TemporalFocalBlock(8, **SMALL, ffn_channels=2)
    tokens, size = torch.randn(2, 3, 4, 5, 8), (12, 15)
    everything = block(tokens, None, size)
    torch.testing.assert_close(block(tokens[:, :1], tokens[:, 1:], size), everything[:, :1], atol=1e-5, rtol=1e-4)


def test_published_sizes():
    with torch.device("meta"):
        block = TemporalFocalBlock()
    assert block.attn.pool.weight.shape == (1, 45)
    assert block.attn.qkv.weight.shape == (1536, 512)
    assert block.mlp.conv1.weight.shape == (1960, 512)


def test_feed_forward_mixes_overlapping_patches_only():
    torch.manual_seed(0)
    feed = FusionFeedForward(4, 2, PatchGrid())
    tokens = torch.randn(1, 6, 6, 4)
    changed = tokens.clone()
    changed[0, 0, 0] += 1
    difference = (feed(tokens, (18, 18)) - feed(changed, (18, 18))).abs().sum(-1)[0]
    assert difference[1, 1] > 1e-6
    assert difference[4:].max() < 1e-6


def test_feed_forward_is_two_linear_layers_around_folding():
    """The published way: unfold what was folded and averaged over the overlaps, then GELU of each patch's copy."""
    torch.manual_seed(0)
    grid, size = PatchGrid(), (10, 13)
    feed, tokens = FusionFeedForward(6, 2, grid), torch.randn(2, *grid.tokens(size), 6)
    cut = dict(kernel_size=7, padding=3, stride=3)
    folded = F.fold(feed.conv1(tokens.flatten(1, 2)).transpose(1, 2), size, **cut)
    mean = folded / F.fold(F.unfold(torch.ones(1, 1, *size), **cut), size, **cut)
    expected = feed.conv2(F.gelu(F.unfold(mean, **cut).transpose(1, 2))).reshape(tokens.shape)
    torch.testing.assert_close(feed(tokens, size), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("wrap", [True, False])
def test_attention_is_a_softmax_over_the_keys_that_are_there(wrap):
    """Token by token: own window, what four rolls add, then the pooled windows around, those outside left out."""
    torch.manual_seed(0)
    attention, size = FocalWindowAttention(4, **SMALL, wrap=wrap), (4, 9)
    query, context = torch.randn(1, 2, *size, 4), torch.randn(1, 3, *size, 4)
    pooled = attention._pooled(context).unflatten(2, (2, 3))
    k_fine, k_pooled = (F.linear(x, attention.qkv.weight[4:], attention.qkv.bias[4:])[0] for x in (context, pooled))
    found = attention(query, context)
    for row, column in [(0, 0), (1, 5), (3, 8)]:
        top, left = row // 2 * 2, column // 3 * 3
        keys = []
        for y, x in ((top + y, left + x) for y, x in attention.fine_positions):
            if wrap or (0 <= y < size[0] and 0 <= x < size[1]):
                keys.append(k_fine[:, y % size[0], x % size[1]])
        for y, x in ((row // 2 + y, column // 3 + x) for y, x in attention.pooled_positions):
            if 0 <= y < 2 and 0 <= x < 3:
                keys.append(k_pooled[:, y, x])
        k, v = torch.cat(keys).unflatten(-1, (2, 2, 2)).permute(1, 2, 0, 3)
        q = F.linear(query[0, 1, row, column], attention.qkv.weight[:4], attention.qkv.bias[:4]).unflatten(0, (2, 1, 2))
        weights = (q @ k.mT / 2**0.5).softmax(-1)
        expected = attention.proj((weights @ v).flatten())
        torch.testing.assert_close(found[0, 1, row, column], expected, atol=1e-5, rtol=1e-4)


def test_composition_has_the_size_asked_for():
    compose = SoftComposition(3, 5, PatchGrid())
    assert compose(torch.randn(2, 4, 5, 5), (10, 13)).shape == (2, 3, 10, 13)


@pytest.mark.parametrize("others", [0, 1, 3])
def test_any_number_of_other_pictures(others):
    transformer = Transformer(3, dim=8, depth=2, **SMALL, ffn_channels=2)
    feature, context = torch.randn(2, 1, 3, 11, 14), torch.randn(2, others, 3, 11, 14)
    distance = torch.arange(1.0, others + 1)[:, None].expand(2, others, 1)
    out = transformer(feature, context, distance)
    assert out.shape == feature.shape
    torch.testing.assert_close(transformer(feature[:1], context[:1], distance[:1]), out[:1], atol=1e-5, rtol=1e-4)


def test_distance_counts_and_every_parameter_learns():
    transformer = Transformer(3, dim=8, depth=2, **SMALL, ffn_channels=2)
    feature, context = torch.randn(1, 1, 3, 11, 14), torch.randn(1, 2, 3, 11, 14)
    near, far = torch.full((1, 2, 1), 1.0), torch.full((1, 2, 1), 9.0)
    out = transformer(feature, context, near)
    assert (out - transformer(feature, context, far)).abs().max() > 1e-6
    out.square().sum().backward()
    assert [n for n, p in transformer.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_all_pictures_of_a_window_at_once():
    """Asked for together they give what a window of themselves gives, and order does not count."""
    torch.manual_seed(0)
    transformer = Transformer(3, dim=8, depth=1, time_embedding=False, **SMALL, ffn_channels=2)
    features = torch.randn(2, 3, 3, 11, 14)
    out = transformer(features)
    assert out.shape == features.shape
    torch.testing.assert_close(transformer(features.flip(1)).flip(1), out, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(transformer(features[:, :1], features[:, 1:]), out[:, :1], atol=1e-5, rtol=1e-4)


def test_time_embedding_needs_distances():
    transformer = Transformer(3, dim=8, depth=1, **SMALL, ffn_channels=2)
    with pytest.raises(ValueError, match="needs the distance"):
        transformer(torch.randn(1, 1, 3, 11, 14), torch.randn(1, 2, 3, 11, 14))


def test_rolled_windows_see_the_other_side():
    torch.manual_seed(0)
    sizes = dict(heads=2, window=(2, 2), expand=(1, 1), focal_window=(1, 1))
    tokens = torch.randn(1, 1, 8, 8, 4)
    changed = tokens.clone()
    changed[0, 0, 7, 7] += 1
    for wrap in (False, True):
        torch.manual_seed(0)
        attention = FocalWindowAttention(4, wrap=wrap, **sizes)
        difference = attention(tokens, tokens)[0, 0, 0, 0] - attention(changed, changed)[0, 0, 0, 0]
        assert (difference.abs().max() > 1e-6) == wrap

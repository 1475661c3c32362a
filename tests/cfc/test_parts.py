"""Hierarchical augmentation, feature completion, experts, stem and head on their own."""

import pytest
import torch

from b2scvr.backbones.conv_trunk import ConvTrunk
from b2scvr.cfc.augmentation import HierarchicalAugmentation, MaskedCrossAttention
from b2scvr.cfc.candidates import BlendHead, CandidateStem
from b2scvr.cfc.completion import FeatureCompletion
from b2scvr.cfc.experts import ChannelAttention, MixtureOfResidualExperts

EXPERTS = dict(blocks=1, depth=2, num_tokens=4)


def test_outside_the_mask_attention_adds_nothing():
    attention = MaskedCrossAttention(8, 6, heads=2, reduction=1)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 4:] = 1
    out = attention(torch.randn(1, 8, 8, 8), torch.randn(1, 6, 8, 8), mask)
    assert out[..., :4].abs().max() == 0
    assert out[..., 4:].abs().min() > 0


def test_equal_context_gives_its_own_value():
    attention = MaskedCrossAttention(4, 4, heads=2, reduction=2)
    with torch.no_grad():
        for layer in (attention.v_proj, attention.out_proj):
            layer.weight.copy_(torch.eye(4)[:, :, None, None])
            layer.bias.zero_()
    context = torch.rand(1, 4, 1, 1).expand(1, 4, 3, 5)
    out = attention(torch.randn(1, 4, 6, 10), context, torch.ones(1, 1, 24, 40))
    torch.testing.assert_close(out, context[..., :1, :1].expand(1, 4, 6, 10))


@pytest.mark.parametrize("size", [(9, 13), (1, 1)])
def test_augmentation_of_any_size_learns_everywhere(size):
    trunk = ConvTrunk((4, 6, 8))
    augment = HierarchicalAugmentation(8, trunk.channels, (8, 8, 12), (2, 2, 2), heads=2)
    picture = torch.rand(2, 3, size[0] * 4, size[1] * 4)
    x = torch.randn(2, 8, *size)
    maps = trunk(picture)
    out = augment(x, maps, torch.ones(2, 1, size[0] * 4, size[1] * 4))
    assert out.shape == x.shape
    if size == (9, 13):
        out.square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in (*augment.parameters(), *trunk.parameters()))


def test_levels_must_match():
    with pytest.raises(ValueError, match="levels differ"):
        HierarchicalAugmentation(8, (4, 8), (8, 8, 8), (1, 1, 1))


def test_completion_is_not_shifted():
    """One changed cell changes its own place and not the far corners, in a map that no window divides."""
    torch.manual_seed(0)
    completion = FeatureCompletion(4, depths=(1,), heads=2, window=4, mlp_ratio=2)
    x, y = torch.randn(2, 1, 4, 11, 14)
    changed = x.clone()
    changed[0, 0, 5, 5] += 1
    difference = (completion(x, y) - completion(changed, y)).abs().sum(1)[0]
    assert difference[5, 5] == difference.max()
    assert difference[:1].max() < 1e-5
    assert difference[-1:].max() < 1e-5


@pytest.mark.parametrize("gate", ["embedding", "linear", "none"])
def test_gate_sums_to_one(gate):
    mixture = MixtureOfResidualExperts(8, 6, num_experts=3, gate=gate, **EXPERTS)
    out, weights = mixture(torch.randn(2, 8, 6, 7), torch.randn(2, 6))
    assert out.shape == (2, 8, 6, 7)
    torch.testing.assert_close(weights.sum(1), torch.ones(2))
    if gate == "none":
        torch.testing.assert_close(weights, torch.full((2, 3), 1 / 3))


def test_silent_experts_leave_the_feature_as_it_is():
    mixture = MixtureOfResidualExperts(8, 6, **EXPERTS)
    for expert in mixture.experts:
        torch.nn.init.zeros_(expert.conv_after_body.weight)
        torch.nn.init.zeros_(expert.conv_after_body.bias)
    x = torch.randn(1, 8, 6, 7)
    torch.testing.assert_close(mixture(x, torch.randn(1, 6))[0], x)


def test_channel_attention_stays_inside_a_picture():
    attention = ChannelAttention(8, 6)
    x, condition = torch.randn(3, 8, 4, 4), torch.randn(3, 6)
    torch.testing.assert_close(attention(x[1:2], condition[1:2]), attention(x, condition)[1:2])


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="gate must be one of"):
        MixtureOfResidualExperts(8, 6, gate="hard")
    with pytest.raises(ValueError, match="at least one expert"):
        MixtureOfResidualExperts(8, 6, num_experts=0)
    with pytest.raises(ValueError, match="needs an image embedding"):
        MixtureOfResidualExperts(8, 6, **EXPERTS)(torch.randn(1, 8, 4, 4), None)
    with pytest.raises(ValueError, match="fill_weight"):
        BlendHead(3, 8, 4, 4, fill_weight=1)


def test_stem_has_both_resolutions():
    stem = CandidateStem(3, 5, 4, 6)
    candidates, valid, difference, mask = (torch.rand(2, *shape, 20, 24) for shape in ((3, 3), (3,), (2,), (1,)))
    skip, feature = stem(candidates, valid, difference, mask, torch.rand(2, 5, 2, 2))
    assert skip.shape == (2, 4, 10, 12)
    assert feature.shape == (2, 6, 5, 6)


@pytest.mark.parametrize(("downscale", "cells"), [(1, 4), (2, 2), (4, 1)])
def test_evidence_lies_where_its_macroblock_is_at_every_size_that_the_network_works_at(downscale, cells):
    torch.manual_seed(0)
    stem = CandidateStem(3, 1, 4, 6, downscale)
    torch.nn.init.zeros_(stem.evidence.weight)
    stem.evidence.weight.data[:, :, 1, 1] = 1  # its own macroblock alone
    stem.combine = torch.nn.Identity()
    maps = [torch.rand(1, *shape, 12 * cells, 20 * cells) for shape in ((3, 3), (3,), (2,), (1,))]
    evidence = torch.zeros(1, 1, 3, 5)
    before = stem(*maps, evidence)[1]
    evidence[0, 0, 1, 3] = 9
    rows, columns = torch.nonzero((stem(*maps, evidence)[1] - before).abs().sum((0, 1)), as_tuple=True)
    assert (rows.min(), rows.max()) == (cells, 2 * cells - 1)
    assert (columns.min(), columns.max()) == (3 * cells, 4 * cells - 1)


def test_a_size_at_which_macroblocks_would_have_no_whole_feature_is_refused():
    with pytest.raises(ValueError, match="downscale must be a divisor of 4, got 3"):
        CandidateStem(3, 1, 4, 6, 3)


def test_head_starts_at_the_weights_that_it_says():
    head = BlendHead(4, 8, 4, 6, fill_weight=0.9)
    torch.nn.init.zeros_(head.head.weight)
    weights, residual = head(torch.randn(1, 8, 3, 5), torch.randn(1, 4, 6, 10))
    assert weights.shape == (1, 4, 12, 20)
    torch.testing.assert_close(weights[:, -1], torch.full((1, 12, 20), 0.9))
    torch.testing.assert_close(weights[:, 1], weights[:, 2])
    assert weights[:, 0].max() < 0.01 < weights[:, 1].min()  # the decoder's own picture is the one that is wrong
    head = BlendHead(2, 8, 4, 6, fill_weight=0.9)
    torch.nn.init.zeros_(head.head.weight)
    torch.testing.assert_close(
        head(torch.randn(1, 8, 3, 5), torch.randn(1, 4, 6, 10))[0][:, 0, 0, 0], torch.tensor([0.1])
    )
    assert residual.abs().max() == 0


def test_stretched_trunk_lies_off_its_place_and_aligned_does_not():
    """What is left of the picture's middle in the trunk must not be found right of it in the feature."""
    torch.manual_seed(0)
    found = {}
    for stretched in (False, True):
        torch.manual_seed(1)
        augment = HierarchicalAugmentation(8, (4,), (8,), (1,), heads=2, stretched=stretched)
        x, mask = torch.randn(1, 8, 8, 24), torch.zeros(1, 1, 32, 96)
        mask[..., :48] = 1
        out = augment(x, [torch.randn(1, 4, 8, 24)], mask) - augment(x, [torch.randn(1, 4, 8, 24)], mask * 0)
        found[stretched] = int(torch.nonzero(out.abs().amax((0, 1, 2)) > 1e-6).max())
    assert found[False] in (12, 13)  # the middle of 24, and a cell for the 3x3 convolution
    assert found[True] in (16, 17)  # 24 cells are seen as 32


def test_levels_without_carry_do_not_change_coarser_ones():
    """The coarsest level's own attention is all that the trunk changes there."""
    torch.manual_seed(0)
    x, mask = torch.randn(1, 8, 8, 8), torch.ones(1, 1, 8, 8)
    maps, other = [torch.randn(1, 4, 8, 8), torch.randn(1, 4, 4, 4)], torch.randn(1, 4, 8, 8)
    seen = {}
    for carry in (True, False):
        torch.manual_seed(0)
        augment = HierarchicalAugmentation(8, (4, 4), (8, 8), (1, 1), heads=2, carry=carry)
        inputs = []
        augment.attn[1].register_forward_pre_hook(lambda _module, args, inputs=inputs: inputs.append(args[0]))
        augment(x, maps, mask)
        augment(x, [other, maps[1]], mask)
        seen[carry] = torch.equal(*inputs)
    assert seen == {True: False, False: True}


def test_shifted_completion_moves_by_one_cell():
    torch.manual_seed(0)
    plain = FeatureCompletion(4, depths=(1,), heads=2, window=4, mlp_ratio=2)
    shifted = FeatureCompletion(4, depths=(1,), heads=2, window=4, mlp_ratio=2, shifted=True)
    shifted.load_state_dict(plain.state_dict())
    x, y = torch.randn(2, 1, 4, 8, 12)
    out = shifted(x, y)
    torch.testing.assert_close(out[..., 1:, 1:], plain(x, y)[..., :-1, :-1])
    bias = plain.output_proj.bias.view(1, 4, 1)
    torch.testing.assert_close(out[:, :, 0], bias.expand(1, 4, 12))
    torch.testing.assert_close(out[..., 0], bias.expand(1, 4, 8))


def test_replacing_experts_keep_nothing_of_the_feature():
    mixture = MixtureOfResidualExperts(8, 6, **EXPERTS, replace=True, shared_norm=True)
    for expert in mixture.experts:
        torch.nn.init.zeros_(expert.conv_after_body.weight)
        torch.nn.init.zeros_(expert.conv_after_body.bias)
    assert mixture(torch.randn(1, 8, 6, 7), torch.randn(1, 6))[0].abs().max() == 0


def test_shared_norm_is_one_for_all_experts():
    mixture = MixtureOfResidualExperts(8, 6, **EXPERTS, shared_norm=True)
    norms = [name for name in mixture.state_dict() if name.endswith("norm.weight")]
    assert norms == ["norm.weight", "expert_norm.weight"]


def test_channel_attention_across_pictures_stays_inside_a_clip():
    torch.manual_seed(0)
    attention = ChannelAttention(8, 6, across_pictures=True)
    x, condition = torch.randn(4, 8, 4, 4), torch.randn(4, 6)
    together = attention(x, condition, 2)
    torch.testing.assert_close(attention(x[:2], condition[:2], 2), together[:2])
    assert (attention(x[:1], condition[:1], 1) - together[:1]).abs().max() > 1e-6

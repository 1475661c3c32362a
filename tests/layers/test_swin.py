"""Window attention: windows do not see one another without a shift; the group keeps any size."""

import torch

from b2scvr.layers.swin import ResidualSwinGroup, SwinBlock, WindowAttention


def test_equal_values_come_through():
    attention = WindowAttention(4, 2, (2, 2))
    with torch.no_grad():
        attention.qkv.weight[8:] = torch.eye(4)  # value = input
        attention.qkv.bias.zero_()
        attention.proj.weight.copy_(torch.eye(4))
        attention.proj.bias.zero_()
    x = torch.rand(1, 3, 1, 4).expand(1, 3, 4, 4)
    torch.testing.assert_close(attention(x), x)


def reach(shifted: bool) -> torch.Tensor:
    """Which cells change when the first one does."""
    torch.manual_seed(0)
    block = SwinBlock(4, 2, (4, 4), shifted)
    x = torch.randn(1, 8, 8, 4)
    y = x.clone()
    y[0, 0, 0, 0] += 1  # one channel: a layer norm hides what all share
    return (block(x) - block(y)).abs().sum(-1)[0] > 1e-6


def test_plain_windows_are_closed():
    changed = reach(shifted=False)
    assert changed[:4, :4].all()
    assert changed.sum() == 16


def test_a_shift_does_not_wrap_around():
    changed = reach(shifted=True)
    assert changed[:2, :2].all()
    assert changed.sum() == 4


def test_any_size_and_gradients():
    group = ResidualSwinGroup(8, depth=2, heads=2, window=(5, 5), mlp_ratio=2)
    x = torch.randn(2, 8, 7, 12)
    out = group(x)
    assert out.shape == x.shape
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in group.parameters())
    torch.testing.assert_close(group(x[:1]), out[:1], atol=1e-5, rtol=1e-5)


def test_dropped_paths_leave_the_input_and_only_in_training():
    torch.manual_seed(0)
    block = SwinBlock(4, 2, (4, 4), shifted=False, drop_path=1.0)
    x = torch.randn(3, 8, 8, 4)
    torch.testing.assert_close(block(x), x)
    assert (block.eval()(x) - x).abs().max() > 1e-3
    group = ResidualSwinGroup(4, depth=3, heads=2, window=(4, 4), drop_path=0.2)
    assert [round(b.drop_path.p, 3) for b in group.blocks] == [0.0, 0.1, 0.2]

"""Warping: zero flow, whole-pixel flow, resizing, mirrored flow, and flows between pictures of a window."""

import pytest
import torch

from b2scvr.ops.warp import AnchoredMotion, ChainedFlow, downscale_flow, warp


def constant_flow(x: float, y: float, size: tuple[int, int], batch: int = 1) -> torch.Tensor:
    return torch.tensor([x, y], dtype=torch.float32).view(1, 2, 1, 1).expand(batch, 2, *size).clone()


@pytest.mark.parametrize("mode", ["zeros", "border"])
@pytest.mark.parametrize("size", [(7, 11), (1, 5), (4, 1)])
def test_zero_flow_is_the_identity(mode, size):
    x = torch.rand(2, 3, *size)
    torch.testing.assert_close(warp(x, torch.zeros(2, 2, *size), mode), x)


def test_a_whole_pixel_flow_shifts():
    x = torch.rand(1, 2, 6, 8)
    out = warp(x, constant_flow(2, -1, (6, 8)))
    torch.testing.assert_close(out[..., 1:, :-2], x[..., :-1, 2:])
    assert out[..., 0, :].abs().max() < 1e-5
    assert out[..., -2:].abs().max() < 1e-5


def test_half_a_pixel_is_the_mean():
    x = torch.rand(1, 1, 1, 6)
    out = warp(x, constant_flow(0.5, 0, (1, 6)))
    torch.testing.assert_close(out[..., :-1], (x[..., :-1] + x[..., 1:]) / 2)


def test_mirroring_picture_and_flow_mirrors_the_result():
    x, flow = torch.rand(1, 3, 9, 10), torch.randn(1, 2, 9, 10) * 2
    mirrored = flow.flip(3) * torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(warp(x.flip(3), mirrored), warp(x, flow).flip(3), atol=1e-5, rtol=1e-5)


def test_half_precision_keeps_positions():
    x = torch.rand(1, 1, 4, 600, dtype=torch.bfloat16)
    out = warp(x, constant_flow(1, 0, (4, 600)))
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out[..., :-1], x[..., 1:], atol=1e-3, rtol=0.02)


def test_a_coarser_flow_has_smaller_values():
    torch.testing.assert_close(downscale_flow(constant_flow(8, -4, (8, 12)), 4), constant_flow(2, -1, (2, 3)))


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(ValueError, match="do not belong together"):
        warp(torch.rand(1, 1, 4, 4), torch.zeros(1, 2, 4, 5))


def test_flow_between_pictures_of_a_window():
    size = (6, 7)
    motion = torch.stack([constant_flow(*v, size) for v in ((-2, 1), (0, 0), (3, -1))], 1)
    flow = AnchoredMotion(motion, current=1)
    torch.testing.assert_close(flow(1, 2), motion[:, 2])
    torch.testing.assert_close(flow(0, 1), -motion[:, 0])
    torch.testing.assert_close(flow(0, 2), constant_flow(5, -2, size))


def test_flow_of_two_steps_is_chained():
    size = (6, 9)
    forward = torch.stack([constant_flow(*v, size) for v in ((1, 0), (2, -1))], 1)
    backward = torch.stack([constant_flow(*v, size) for v in ((-1, 0), (-2, 1))], 1)
    flow = ChainedFlow(forward, backward)
    assert torch.equal(flow(1, 2), forward[:, 1])
    assert torch.equal(flow(1, 0), backward[:, 0])
    torch.testing.assert_close(flow(0, 2)[..., 2:-2, 2:-2], constant_flow(3, -1, size)[..., 2:-2, 2:-2])
    torch.testing.assert_close(flow(2, 0)[..., 2:-2, 3:-3], constant_flow(-3, 1, size)[..., 2:-2, 3:-3])


@pytest.mark.parametrize("target", [0, 3])
def test_flow_of_no_step_or_three_is_refused(target):
    flow = ChainedFlow(*torch.zeros(2, 1, 3, 2, 4, 4))
    with pytest.raises(ValueError, match="not one or two steps"):
        flow(0, target)

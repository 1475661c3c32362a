"""Pictures in a backbone's statistics."""

import torch

from b2scvr.ops.normalise import CLIP, IMAGENET, normalise


def test_mean_becomes_zero_and_one_deviation_one():
    for mean, deviation in (IMAGENET, CLIP):
        centre = torch.tensor(mean)[:, None, None].expand(3, 2, 2)
        step = torch.tensor(deviation)[:, None, None]
        torch.testing.assert_close(normalise(centre, (mean, deviation)), torch.zeros(3, 2, 2))
        torch.testing.assert_close(normalise(centre + step, (mean, deviation)), torch.ones(3, 2, 2))

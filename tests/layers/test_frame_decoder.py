"""Frame decoder: four times the size, and the published number of parameters."""

import torch

from b2scvr.layers.frame_decoder import FrameDecoder


def test_a_constant_comes_through_layers_that_pass_it():
    decoder = FrameDecoder(2, 2, 2)
    for layer in (decoder.up1, decoder.conv1, decoder.up2, decoder.conv2):
        torch.nn.init.dirac_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    features = torch.tensor((0.5, 3.0)).view(1, 2, 1, 1).expand(1, 2, 3, 5)
    torch.testing.assert_close(decoder(features), features[..., :1, :1].expand(1, 2, 12, 20))


def test_published_size():
    with torch.device("meta"):
        decoder = FrameDecoder()
    assert sum(p.numel() for p in decoder.parameters()) == 260_035
    assert decoder(torch.empty(2, 128, 6, 10, device="meta")).shape == (2, 3, 24, 40)

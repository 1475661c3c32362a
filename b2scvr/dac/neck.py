"""The prompting neck: an adaptive token dictionary whose tokens are the prompts (B2SCVR, section 3.2)."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.convnext import LayerNorm2d

from b2scvr.layers.token_dictionary import TokenDictionaryBlock


class PromptingNeck(nn.Module):
    """x + conv(norm(blocks(norm(x)))), every block starting from the same prompt tokens. Defaults: published sizes.

    fused=False rounds as the published network does, see layers.token_dictionary.CategoryAttention.
    """

    def __init__(
        self,
        dim: int,
        num_tokens: int,
        blocks: int = 2,
        depth: int = 3,
        reduced_dim: int = 4,
        mlp_ratio: float = 2.0,
        conv_kernel: int = 5,
        num_heads: int = 2,
        window: int | None = 8,
        category_size: int | None = 128,
        fused: bool = True,
    ) -> None:
        super().__init__()
        self.norm_in = LayerNorm2d(dim)
        self.blocks = nn.ModuleList(
            TokenDictionaryBlock(
                dim,
                num_tokens,
                depth,
                reduced_dim,
                mlp_ratio,
                conv_kernel,
                num_heads,
                window,
                category_size,
                learned_dictionary=False,
                fused=fused,
            )
            for _ in range(blocks)
        )
        self.norm_out = LayerNorm2d(dim)
        self.conv_after_body = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """x: [B, dim, g, g]; tokens: [B, num_tokens, dim]. Returns as x."""
        out = self.norm_in(x)
        for block in self.blocks:
            out = block(out, tokens)
        return x + self.conv_after_body(self.norm_out(out))

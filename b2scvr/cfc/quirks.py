"""What the published recovery network does that its weights depend on, and that new training should not repeat."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Quirks:
    """One flag a quirk; True is the published behaviour, False the corrected one."""

    stretched_augmentation: bool  # HA: the feature is padded, trunk and mask are stretched over the padding too
    shifted_completion: bool  # feature completion moves the feature by one cell down and right
    replacing_experts: bool  # MoRE: the mixture replaces the feature instead of being added to it
    attention_across_pictures: bool  # MoRE: channel attention mixes the pictures of a clip
    raw_backbone_input: bool  # CLIP and the trunk see pictures in [-1, 1] instead of in their own statistics
    reversed_backward_flow: bool  # propagation: the backward sweep takes the clip's flows in the wrong order of time
    first_mask_instead_of_none: bool  # a clip whose masks are all empty has its first picture masked


OFFICIAL = Quirks(*[True] * len(fields(Quirks)))
CORRECTED = Quirks(*[False] * len(fields(Quirks)))
PRESETS = {"official": OFFICIAL, "corrected": CORRECTED}

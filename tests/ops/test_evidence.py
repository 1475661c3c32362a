"""Evidence as a tensor: what is not known is 0."""

import numpy as np

from b2scvr.bitstream.assembly import blank_clip
from b2scvr.ops.evidence import CHANNELS, QP_MAX, picture_evidence


def test_a_concealed_macroblock_has_no_qp():
    """What libavcodec tells of it belongs to an earlier picture, maybe of another scene."""
    clip = blank_clip(np.zeros((1, 32, 48, 3), np.uint8), 25.0, "h264", "")
    clip.qp[0] = [[20, 21, -1], [22, 23, 24]]
    clip.concealed[0, 1, 1:] = True
    found = picture_evidence(clip, 0, True)[CHANNELS.index("qp")]
    assert np.allclose(found * QP_MAX, [[20, 21, 0], [22, 0, 0]])

"""What recovery leaves on disk: pictures, video, masks in view, the report."""

from b2scvr.write.overlay import overlay_mask
from b2scvr.write.png import read_masks, read_pictures, write_masks, write_pictures
from b2scvr.write.report import Filmstrip, Report, write_report
from b2scvr.write.video import VideoWriter, write_video

__all__ = [
    "Filmstrip",
    "Report",
    "VideoWriter",
    "overlay_mask",
    "read_masks",
    "read_pictures",
    "write_masks",
    "write_pictures",
    "write_report",
    "write_video",
]

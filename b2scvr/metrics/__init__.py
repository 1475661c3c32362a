"""How good a recovery is: pictures against the clean ones, masks against the visible damage."""

from b2scvr.metrics.masks import MaskScores, damaged_pictures, mask_scores, mask_truth
from b2scvr.metrics.psnr import MAX_PSNR_DB, psnr
from b2scvr.metrics.ssim import ssim

__all__ = ["MAX_PSNR_DB", "MaskScores", "damaged_pictures", "mask_scores", "mask_truth", "psnr", "ssim"]

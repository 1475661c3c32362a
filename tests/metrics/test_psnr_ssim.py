import numpy as np
import pytest

from b2scvr.metrics import MAX_PSNR_DB, psnr, ssim
from b2scvr.metrics.ssim import GAUSSIAN_11, UNIFORM_65


def noise(seed, shape=(2, 40, 48, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_psnr_of_a_known_error():
    truth = np.full((2, 8, 8, 3), 100, np.uint8)
    off_by_five = truth + np.uint8(5)
    assert psnr(off_by_five, truth) == pytest.approx([10 * np.log10(255**2 / 25)] * 2)
    one_channel = truth.copy()
    one_channel[..., 0] += 5
    assert psnr(one_channel, truth) == pytest.approx([10 * np.log10(3 * 255**2 / 25)] * 2)


def test_identical_pictures_count_as_the_cap_and_darker_is_not_wrapped():
    truth = noise(0)
    mixed = truth.copy()
    mixed[1] = 255 - mixed[1]
    found = psnr(mixed, truth)
    assert found[0] == MAX_PSNR_DB and found[1] < 10
    black, white = np.zeros((1, 4, 4, 3), np.uint8), np.full((1, 4, 4, 3), 255, np.uint8)
    assert psnr(black, white) == pytest.approx([0]) == psnr(white, black)


def test_a_difference_too_small_to_matter_is_no_better_than_none():
    truth = np.zeros((1, 2000, 2000, 3), np.uint8)
    nearly = truth.copy()
    nearly[0, 0, 0, 0] = 1
    assert psnr(nearly, truth) == pytest.approx([MAX_PSNR_DB])


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_clips_that_do_not_match_are_refused(metric):
    with pytest.raises(ValueError, match="do not match"):
        metric(noise(0), noise(0)[:1])
    with pytest.raises(ValueError, match="uint8"):
        metric(noise(0).astype(np.float32), noise(0).astype(np.float32))


@pytest.mark.parametrize("window", [GAUSSIAN_11, UNIFORM_65])
def test_ssim_is_one_for_the_same_and_symmetric(window):
    a, b = noise(1, (2, 70, 80, 3)), noise(2, (2, 70, 80, 3))
    assert ssim(a, a, window) == pytest.approx([1, 1])
    assert ssim(a, b, window) == pytest.approx(ssim(b, a, window))
    assert (np.abs(ssim(a, b, window)) < 0.1).all()


@pytest.mark.parametrize("window", [GAUSSIAN_11, UNIFORM_65])
def test_ssim_of_constant_pictures_is_the_luminance_term(window):
    a, b = np.full((1, 70, 66, 3), 80, np.uint8), np.full((1, 70, 66, 3), 120, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(a, b, window) == pytest.approx([(2 * 80 * 120 + c1) / (80**2 + 120**2 + c1)])


def test_ssim_in_one_window_is_the_formula_itself():
    a, b = noise(5, (1, 65, 65, 3)), noise(6, (1, 65, 65, 3))
    x, y = a[0].reshape(-1, 3).T.astype(float), b[0].reshape(-1, 3).T.astype(float)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = [
        (2 * p.mean() * q.mean() + c1) / (p.mean() ** 2 + q.mean() ** 2 + c1)
        * (2 * np.cov(p, q)[0, 1] + c2) / (p.var(ddof=1) + q.var(ddof=1) + c2)
        for p, q in zip(x, y, strict=True)
    ]  # fmt: skip
    assert ssim(a, b, UNIFORM_65) == pytest.approx([np.mean(expected)])


def test_ssim_agrees_with_scikit_image():
    reference = pytest.importorskip("skimage.metrics").structural_similarity
    a = noise(3)
    b = np.clip(a + np.random.default_rng(4).normal(0, 20, a.shape), 0, 255).astype(np.uint8)
    settings = dict(channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)
    assert ssim(a, b) == pytest.approx([reference(x, y, **settings) for x, y in zip(a, b, strict=True)], abs=1e-6)


def test_ssim_of_the_papers_agrees_with_scikit_image():
    reference = pytest.importorskip("skimage.metrics").structural_similarity
    a = noise(3, (2, 72, 81, 3))
    b = np.clip(a + np.random.default_rng(4).normal(0, 20, a.shape), 0, 255).astype(np.uint8)
    expected = [reference(x, y, channel_axis=2, win_size=65, data_range=255) for x, y in zip(a, b, strict=True)]
    assert ssim(a, b, UNIFORM_65) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("place", [(0, 0), (40, 100), (89, 119), (50, 3)])
def test_ssim_of_a_small_difference_agrees_with_scikit_image(place):
    reference = pytest.importorskip("skimage.metrics").structural_similarity
    a = noise(7, (1, 90, 120, 3))
    b = a.copy()
    b[0, place[0], place[1]] ^= 255
    settings = dict(channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)
    assert ssim(a, b) == pytest.approx([reference(a[0], b[0], **settings)], abs=1e-6)
    expected = reference(a[0], b[0], channel_axis=2, win_size=65, data_range=255)
    assert ssim(a, b, UNIFORM_65) == pytest.approx([expected], abs=1e-9)


def test_ssim_refuses_pictures_smaller_than_its_window():
    with pytest.raises(ValueError, match="11x11"):
        ssim(noise(0, (1, 10, 30, 3)), noise(1, (1, 10, 30, 3)))
    with pytest.raises(ValueError, match="65x65"):
        ssim(noise(0, (1, 64, 80, 3)), noise(1, (1, 64, 80, 3)), UNIFORM_65)

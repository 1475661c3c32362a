"""Schedules: what each restores, that the exact one says what the published one says, and what stays in memory."""

import numpy as np
import pytest
import torch

from b2scvr.cfc.clip_restorer import ClipRestorer
from b2scvr.cfc.portions import GeneratorPortions, portions_of
from b2scvr.layers.winograd import WinogradConv2d, with_winograd

SIZE = (24, 36)
CLOSE = 1e-3 * 255  # levels


@pytest.fixture
def clip():
    """Make a clip uint8 [T, H, W, 3] and masks that are not empty in the pictures `damaged`."""

    def make(count=13, damaged=(2, 3, 7, 11), size=SIZE):
        rng = np.random.default_rng(0)
        masks = np.zeros((count, *size), np.uint8)
        for index in damaged:
            masks[index, 4:12, 5 + index % 7 : 20] = 1
        return rng.integers(0, 256, (count, *size, 3), np.uint8), masks

    return make


def levels(network, schedule, pictures, masks, **options):
    restorer = ClipRestorer(network, schedule, truncate=False, **options)
    return np.stack([picture.astype(np.float32) for picture in restorer.restore_levels(pictures, masks)])


@pytest.mark.parametrize("preset", ["official", "corrected"])
@pytest.mark.parametrize("parts", [("augmentation", "completion", "experts"), ("completion",), ()])
def test_portions_put_together_are_the_network(generator, scene, preset, parts):
    network = generator(preset, parts=parts)
    pictures, mask = scene(count=5, local=3)
    mask[:, 1] = 0
    mask[:, 4, :, :9] = 1  # a reference picture is damaged too
    with torch.inference_mode():
        expected = network(pictures, mask, 3).pictures[0]
        portions = GeneratorPortions(network)
        padded = [portions.pad(pictures[:, i], mask[:, i]) for i in range(5)]
        known = [portions.reference(picture) for picture in padded]
        local = [portions.local(*pair) for pair in zip(padded[:3], known, strict=False)]
        found = portions.window(local, portions.flows(padded[:3]), known[3:], (0, 2))[
            ..., : mask.shape[-2], : mask.shape[-1]
        ]
    torch.testing.assert_close(found, expected[[0, 2]], atol=1e-5, rtol=1e-4)


def test_exact_is_published_with_fewer_products_too(generator, clip, monkeypatch):
    monkeypatch.setattr("b2scvr.cfc.portions.with_winograd", lambda network: with_winograd(network, smallest=4))
    network = generator("official")
    pictures, masks = clip(12, (2, 3, 7))
    restorer = ClipRestorer(network, "exact", truncate=False)
    assert any(isinstance(module, WinogradConv2d) for module in restorer.portions.network.modules())
    exact = np.stack([picture.astype(np.float32) for picture in restorer.restore_levels(pictures, masks)])
    assert np.abs(levels(network, "published", pictures, masks) - exact).max() < CLOSE


def test_where_products_are_not_spared(generator):
    network = generator()
    for options in (dict(schedule="published"), dict(compiled=True)):
        assert ClipRestorer(network, **options).portions.network is network
    assert portions_of(network, torch.bfloat16).network is network


@pytest.mark.parametrize("preset", ["official", "corrected"])
def test_exact_is_published_and_computes_every_picture_once(generator, clip, preset):
    network = generator(preset)
    pictures, masks = clip(34, (0, 1, 8, 15, 27, 28, 29, 31))  # damage in every window
    published = levels(network, "published", pictures, masks)
    restorer = ClipRestorer(network, "exact", truncate=False)
    exact = np.stack([picture.astype(np.float32) for picture in restorer.restore_levels(pictures, masks)])
    assert np.abs(published - exact).max() < CLOSE
    assert np.abs(published - pictures)[masks > 0].mean() > 10
    assert restorer.computed["known"] == restorer.computed["local"] == 34
    assert restorer.computed["flows"] == 29 + 3  # none between pictures 29 and 30: another chunk


def test_exact_leaves_out_windows_without_damage(generator, clip):
    network = generator("official")
    pictures, masks = clip(20, (17, 18, 19))
    restorer = ClipRestorer(network, "exact", truncate=False)
    exact = np.stack([picture.astype(np.float32) for picture in restorer.restore_levels(pictures, masks)])
    assert np.abs(levels(network, "published", pictures, masks) - exact).max() < CLOSE
    # Of the windows at 0, 5, 10 and 15 the last alone has damage: pictures 10 to 19, and picture 0 to look at.
    assert restorer.computed == {"known": 11, "local": 10, "flows": 9}


def steady_vectors(size=SIZE, step=(3.0, -1.0)):
    """Make vectors of a clip that moves by a step that grows, unknown in one cell in three."""

    def told(index):
        known = (np.arange(-(-size[1] // 8)) + index) % 3 > 0
        field = np.zeros((2, 3, -(-size[0] // 8), len(known)), np.float32)
        field[0, :2], field[:, 2] = (1 + index / 9) * np.float32(step)[:, None, None], 1
        field[1, :2] = -field[0, :2]
        return field * known

    return told


@pytest.mark.parametrize(
    "flow", [dict(source="codec"), dict(source="codec_start"), dict(source="codec", holes="neighbours")]
)
def test_exact_is_published_with_flow_from_vectors(generator, clip, flow):
    torch.manual_seed(0)
    network = generator(parts=(), flow={**dict(widths=(4,), levels=2), **flow})
    pictures, masks = clip(13, (0, 3, 8))
    found = {}
    for schedule in ("published", "exact", "fast"):
        restorer = ClipRestorer(network, schedule, truncate=False)
        levels = restorer.restore_levels(pictures, masks, steady_vectors())
        found[schedule] = np.stack([picture.astype(np.float32) for picture in levels])
    assert np.abs(found["published"] - found["exact"]).max() < CLOSE
    still = restorer.restore_levels(pictures, masks, lambda index: 0 * steady_vectors()(index))
    assert np.abs(found["fast"] - np.stack([*still])).max() > 1e-3  # the vectors are heard
    with pytest.raises(ValueError, match="needs the vectors of the bitstream, and there are none"):
        list(ClipRestorer(network).restore(pictures, masks))
    with pytest.raises(ValueError, match=r"vectors 0 are \[2, 3, 3, 4\], pictures of 36x24 ask for \[2, 3, 3, 5\]"):
        list(ClipRestorer(network).restore(pictures, masks, steady_vectors((24, 32))))


def test_published_writes_whole_levels_rounded_down(generator, clip):
    network = generator("official")
    pictures, masks = clip(9, range(9))
    real = levels(network, "published", pictures, masks)
    written = np.stack(list(ClipRestorer(network, "published").restore(pictures, masks)))
    assert written.dtype == np.uint8
    down = real - written
    assert down.max() < 2 + 1e-3 and down.min() > -1e-3 and down[masks > 0].mean() > 0.4


@pytest.mark.parametrize("schedule", ["published", "exact", "fast"])
def test_what_is_outside_the_masks_stays_bit_for_bit(generator, clip, schedule):
    pictures, masks = clip()
    restored = list(ClipRestorer(generator("official"), schedule).restore(pictures, masks))
    assert len(restored) == len(pictures)
    for before, mask, after in zip(pictures, masks, restored, strict=True):
        assert after.dtype == np.uint8 and np.array_equal(after[mask == 0], before[mask == 0])
        assert mask.any() == (not np.array_equal(before, after))


@pytest.mark.parametrize("schedule", ["exact", "fast"])
def test_no_damage_no_work(generator, clip, schedule):
    pictures, masks = clip(25, ())
    restorer = ClipRestorer(generator("official"), schedule)
    assert np.array_equal(np.stack(list(restorer.restore(pictures, masks))), pictures)
    assert not any(restorer.computed.values())


@pytest.mark.parametrize("schedule", ["published", "exact", "fast"])
@pytest.mark.parametrize(("count", "size"), [(1, (24, 36)), (2, (7, 9)), (3, (25, 37))])
def test_any_size_and_one_picture(generator, schedule, count, size):
    pictures = np.random.default_rng(0).integers(0, 256, (count, *size, 3), np.uint8)
    masks = np.zeros((count, *size), bool)
    masks[0, 2:5] = True
    restored = list(ClipRestorer(generator("corrected"), schedule).restore(pictures, masks))
    assert [picture.shape for picture in restored] == [(*size, 3)] * count
    assert not np.array_equal(restored[0], pictures[0])


def test_an_empty_clip(generator):
    assert list(ClipRestorer(generator("corrected")).restore([], [])) == []


@pytest.mark.parametrize("schedule", ["exact", "fast"])
@pytest.mark.parametrize("damaged", [range(130), (0, 1, 129), (70,)])
def test_memory_does_not_grow_with_the_clip(generator, clip, schedule, damaged):
    network = generator("corrected", parts=())
    pictures, masks = clip(130, damaged, (8, 12))
    restorer = ClipRestorer(network, schedule)
    assert sum(1 for _ in restorer.restore(iter(pictures), iter(masks))) == 130
    assert 0 < restorer.largest_cache <= 18
    assert restorer.largest_buffer <= 75


def test_fast_leaves_no_seam_and_stays_near(generator, clip):
    """The same picture 40 times: where windows meet, the restored ones go on as within a window."""
    network = generator("corrected")
    pictures, masks = clip(40, range(40))
    pictures[:], masks[:] = pictures[:1], masks[:1]
    fast = levels(network, "fast", pictures, masks)
    published = levels(network, "published", pictures, masks)
    inside = masks[0] > 0
    steps = np.abs(np.diff(fast[:, inside], axis=0)).mean((1, 2))
    hard = np.abs(np.diff(published[:, inside], axis=0)).mean((1, 2))
    assert steps.max() < hard.max()
    assert np.abs(fast - published).max() < 16


def test_options_of_speed_change_little(generator, clip):
    pictures, masks = clip()
    exact = levels(generator("official"), "exact", pictures, masks)
    half = levels(generator("official"), "exact", pictures, masks, dtype=torch.bfloat16, channels_last=True)
    assert 0 < np.abs(exact - half).max() < 8


def test_what_does_not_belong_together_is_named(generator, clip):
    restorer = ClipRestorer(generator("corrected"))
    pictures, masks = clip(3, (0, 2))

    def refused(message, pictures=pictures, masks=masks):
        with pytest.raises(ValueError, match=message):
            list(restorer.restore(pictures, masks))

    refused("mask 0 is 35x24, its picture 36x24", masks=masks[:, :, 1:])
    refused("there are 2 masks and more pictures", masks=masks[:2])
    refused("there are 2 pictures and more masks", pictures=pictures[:2])
    refused("mask 0: expected uint8 or bool, got float64", masks=masks.astype(float))
    refused(r"picture 0: expected uint8 \[H, W, 3\], got uint8 \[24, 36, 1\]", pictures=pictures[..., :1])
    refused("picture 1 is 36x20, those before are 36x24", pictures=[pictures[0], pictures[1][:20]], masks=masks[:2])


def test_wrong_networks_and_weights_are_named(generator, build):
    with pytest.raises(ValueError, match="schedule must be one of published, exact, fast, got 'slow'"):
        ClipRestorer(generator(), "slow")
    with pytest.raises(ValueError, match="for RecoveryGenerator, not for RecoveryNetwork"):
        ClipRestorer(build())
    network = generator()
    with torch.no_grad():
        network.decoder.conv2.bias[0] = float("nan")
    with pytest.raises(ValueError, match=r"no numbers in decoder\.conv2\.bias"):
        ClipRestorer(network)

import numpy as np
import pytest

from b2scvr.types import InputError
from b2scvr.write import read_masks, read_pictures, write_masks, write_pictures


def test_pictures_come_back_exactly_under_their_names(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 17, 23, 3), np.uint8)
    write_pictures(tmp_path / "frames", pictures)
    assert sorted(p.name for p in (tmp_path / "frames").iterdir()) == ["00000.png", "00001.png", "00002.png"]
    assert np.array_equal(read_pictures(tmp_path / "frames"), pictures)


def test_masks_are_written_as_0_and_255(tmp_path):
    cv2 = pytest.importorskip("cv2")
    masks = (np.random.default_rng(1).random((2, 9, 7)) > 0.5).astype(np.uint8)
    write_masks(tmp_path, masks)
    assert set(np.unique(cv2.imread(str(tmp_path / "00000.png"), cv2.IMREAD_UNCHANGED))) == {0, 255}
    assert np.array_equal(read_masks(tmp_path), masks)


def test_a_folder_that_is_missing_empty_or_mixed_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no pictures"):
        read_pictures(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no pictures"):
        read_pictures(tmp_path)
    write_pictures(tmp_path, np.zeros((1, 8, 8, 3), np.uint8))
    (tmp_path / "00001.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"00001\.png: not a picture"):
        read_pictures(tmp_path)
    write_pictures(tmp_path / "other", np.zeros((1, 8, 9, 3), np.uint8))
    (tmp_path / "other" / "00000.png").rename(tmp_path / "00001.png")
    with pytest.raises(InputError, match=r"its size \(9, 8\)"):
        read_pictures(tmp_path)

import av
import numpy as np
import pytest

from b2scvr.write.video import VideoWriter, write_video


def decode(path):
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
        frames = list(container.decode(video=0))
        return np.stack([f.to_ndarray(format="rgb24") for f in frames]), [f.time for f in frames], rate


@pytest.mark.parametrize("size", [(96, 128), (95, 127)])
def test_video_shows_the_pictures_at_their_rate(tmp_path, pictures, size):
    height, width = size
    write_video(tmp_path / "a.mp4", pictures[:, :height, :width], fps=29.97)
    shown, times, rate = decode(tmp_path / "a.mp4")
    assert shown.shape == (len(pictures), 96, 128, 3)
    assert float(rate) == pytest.approx(29.97, abs=0.01)
    assert np.abs(shown[:, :height, :width].astype(int) - pictures[:, :height, :width]).mean() < 6
    assert times[1] - times[0] == pytest.approx(1 / 29.97, abs=1e-3)


def test_a_clip_without_pictures_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no picture"):
        write_video(tmp_path / "a.mp4", np.zeros((0, 8, 8, 3), np.uint8), 25)


def test_anything_else_than_a_picture_is_refused(tmp_path, pictures):
    with (
        pytest.raises(ValueError, match=r"\[H, W, 3\], got \[24, 96, 128, 3\]"),
        VideoWriter(tmp_path / "a.mp4", 25) as video,
    ):
        video.add(pictures)

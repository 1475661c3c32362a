"""The repaired stream in a second, independent decoder: OpenH264 by way of GStreamer, where it is installed.

Streams without B pictures: of others OpenH264 2.3 gets even the clean ones wrong.

Debian: apt-get install gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
"""

import shutil
import subprocess

import numpy as np
import pytest

from b2scvr.bitstream.damage import CutModel, damage
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.rebuild import rebuild_lost
from b2scvr.bitstream.repair import splice_stream
from b2scvr.types import AccessUnitStatus, Planes

LAUNCH, INSPECT = "gst-launch-1.0", "gst-inspect-1.0"
CODINGS = {
    "CABAC": {"bf": "0"},
    "CAVLC": {"bf": "0", "coder": "cavlc"},
    "baseline": {"profile": "baseline"},
    "slices": {"bf": "0", "x264-params": "slices=3:no-deblock=1"},
}


def _installed():
    if not (shutil.which(LAUNCH) and shutil.which(INSPECT)):
        return False
    return subprocess.run([INSPECT, "openh264dec"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not _installed(), reason="gst-launch-1.0 with openh264dec is not installed")


def _openh264(stream, folder, height, width):
    """The pictures that OpenH264 makes of a stream, in the order of display."""
    (folder / "in.h264").write_bytes(stream)
    pipeline = f"filesrc location={folder}/in.h264 ! h264parse ! openh264dec ! video/x-raw,format=I420 ! "
    command = [LAUNCH, "-q", *pipeline.split(), "filesink", f"location={folder}/out.yuv"]
    subprocess.run(command, check=False, capture_output=True, timeout=60)
    data = np.fromfile(folder / "out.yuv", np.uint8).reshape(-1, height * 3 // 2, width)
    return [Planes(p[:height], *p[height:].reshape(2, height // 2, width // 2)) for p in data]


@pytest.mark.parametrize("options", CODINGS.values(), ids=CODINGS)
def test_true_pictures_repair_the_stream_there_too(options, moving, play, same_planes, tmp_path):
    clean = decode(encode_h264(moving(20), options=options))
    truth, _ = play(clean.access_units)
    shown = [truth[int(index)] for index in clean.clip.decode_index]
    played = _openh264(clean.stream(), tmp_path, 96, 128)
    assert len(played) == 20 and all(same_planes(*pair) for pair in zip(played, shown, strict=True))
    damaged = decode(damage(clean.stream(), CutModel(slices_per_gop=4, length=200, seed=1))[0])
    broken = np.flatnonzero(damaged.clip.status == AccessUnitStatus.BROKEN)
    assert len(broken) >= 3
    units = splice_stream(damaged, {int(slot): truth[int(damaged.clip.decode_index[slot])] for slot in broken})
    repaired = _openh264(b"".join(units), tmp_path, 96, 128)
    assert len(repaired) == 20 and all(same_planes(*pair) for pair in zip(repaired, shown, strict=True))


def test_rebuilt_access_units_are_played_there_too(moving, play, same_planes, tmp_path):
    clean = decode(encode_h264(moving(20), options={"bf": "0"}))
    truth, _ = play(clean.access_units)
    units = [unit[:6] if index in (3, 18) else unit for index, unit in enumerate(clean.access_units)]
    whole, rebuilt = rebuild_lost(decode(b"".join(units)), decode)
    assert {int(whole.clip.decode_index[slot]) for slot in rebuilt.samples} == {3, 18}
    spliced = splice_stream(whole, {slot: truth[int(whole.clip.decode_index[slot])] for slot in rebuilt.samples})
    repaired = _openh264(b"".join(spliced), tmp_path, 96, 128)
    assert len(repaired) == 20 and all(same_planes(repaired[i], truth[i]) for i in range(20))

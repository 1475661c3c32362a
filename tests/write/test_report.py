import base64
import json
import re
from itertools import pairwise

import numpy as np
import pytest

from b2scvr.write import Filmstrip, Report, write_report


@pytest.fixture
def clip(pictures):
    """Pictures decoded and recovered, masks, and which are damaged."""
    decoded = pictures.copy()
    decoded[3, 40:] = 0
    masks = (decoded != pictures).any(axis=3).astype(np.uint8)
    return decoded, pictures, masks, masks.any(axis=(1, 2))


@pytest.fixture
def report(clip):
    status, kinds = clip[3].astype(np.uint8), np.ones(24, np.uint8)
    kinds[0] = 0
    return Report("clip <&> one.h264", "H264", status, kinds, 25.0, restored=(3,),
                  facts=[("Damaged", "1 of 24", "</script>")], notes=("a </script> note",))  # fmt: skip


def film_of(clip, cuts=(), **settings):
    """All pictures of a clip, in lots that end at `cuts`."""
    film = Filmstrip(len(clip[0]), **settings)
    for first, end in pairwise([0, *cuts, len(clip[0])]):
        film.add(*(None if part is None else part[first:end] for part in clip))
    return film


def data_of(path):
    text = path.read_text("utf-8")
    return text, json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_report_holds_each_picture_and_loads_nothing(tmp_path, report, clip):
    cv2 = pytest.importorskip("cv2")
    write_report(tmp_path / "r.html", report, film_of(clip))
    text, data = data_of(tmp_path / "r.html")
    assert data["shown"] == list(range(24)) and data["status"][3] == 1 and data["first"] == 3
    assert data["types"][:2] == ["I", "P"] and data["restored"] == [3]
    damaged, mask, repaired = data["pictures"][3]
    assert len({damaged, mask, repaired}) == 3 and len(set(data["pictures"][5])) == 1
    assert len(data["images"]) == 24 + 2  # what is the same is embedded once
    jpeg = np.frombuffer(base64.b64decode(data["images"][repaired]), np.uint8)
    shown = cv2.cvtColor(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.abs(shown.astype(int) - clip[1][3]).mean() < 8
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text) and "@@" not in text


def test_pictures_may_come_in_lots(tmp_path, report, clip):
    whole, lots = film_of(clip), film_of(clip, (7, 8, 20))
    assert (lots.shown, lots.pictures, lots.images, lots.masked) == (
        whole.shown, whole.pictures, whole.images, whole.masked,
    )  # fmt: skip


def test_text_from_outside_is_escaped(tmp_path, report, clip):
    write_report(tmp_path / "r.html", report, film_of(clip))
    text, _ = data_of(tmp_path / "r.html")
    assert "clip &lt;&amp;&gt; one.h264" in text and text.count("</script>") == 2


def test_pictures_are_left_out_evenly_to_stay_in_the_budget(tmp_path, report, clip):
    write_report(tmp_path / "r.html", report, film_of(clip))
    full = (tmp_path / "r.html").stat().st_size
    write_report(tmp_path / "small.html", report, film_of(clip, budget_bytes=30_000))
    text, data = data_of(tmp_path / "small.html")
    assert sum(map(len, data["images"])) < 60_000 < full
    assert 1 < len(data["shown"]) < 24 and len(data["status"]) == len(data["masked"]) == 24
    assert "of 24 pictures are shown here" in text


def test_damaged_pictures_are_left_out_last(clip):
    damaged = np.isin(np.arange(24), (3, 4, 5, 22))
    kept = film_of((*clip[:3], damaged), (12,), budget_bytes=30_000).shown
    assert {3, 22} <= set(kept) and len(kept) < 24


def test_wide_pictures_are_made_smaller(tmp_path, report, clip):
    cv2 = pytest.importorskip("cv2")
    wide = [np.repeat(frames[:2], 10, axis=2) for frames in clip[:2]]
    film = film_of((*wide, np.zeros(wide[0].shape[:3], np.uint8), np.zeros(2, bool)))
    jpeg = base64.b64decode(film.images[0])
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape == (48, 640, 3)


def test_without_a_recovery_there_is_no_repaired_view(tmp_path, report, clip):
    decoded, _, masks, damaged = clip
    write_report(tmp_path / "r.html", report, film_of((decoded, None, masks, damaged)))
    assert data_of(tmp_path / "r.html")[1]["repaired"] is False

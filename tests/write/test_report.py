import base64
import json
import re

import numpy as np
import pytest

from b2scvr.write import Report, write_report


@pytest.fixture
def report(pictures):
    decoded = pictures.copy()
    decoded[3, 40:] = 0
    masks = (decoded != pictures).any(axis=3).astype(np.uint8)
    status, kinds = np.zeros(len(pictures), np.uint8), np.ones(len(pictures), np.uint8)
    status[3], kinds[0] = 1, 0
    return Report("clip <&> one.h264", "H264", decoded, pictures, masks, status, kinds, 25.0, restored=(3,),
                  facts=[("Damaged", "1 of 24", "</script>")], notes=("a </script> note",))  # fmt: skip


def data_of(path):
    text = path.read_text("utf-8")
    return text, json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_report_holds_each_picture_and_loads_nothing(tmp_path, report):
    cv2 = pytest.importorskip("cv2")
    write_report(tmp_path / "r.html", report)
    text, data = data_of(tmp_path / "r.html")
    assert data["shown"] == list(range(24)) and data["status"][3] == 1 and data["first"] == 3
    assert data["types"][:2] == ["I", "P"] and data["restored"] == [3]
    damaged, mask, repaired = data["pictures"][3]
    assert len({damaged, mask, repaired}) == 3 and len(set(data["pictures"][5])) == 1
    assert len(data["images"]) == 24 + 2  # what is the same is embedded once
    jpeg = np.frombuffer(base64.b64decode(data["images"][repaired]), np.uint8)
    shown = cv2.cvtColor(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.abs(shown.astype(int) - report.recovered[3]).mean() < 8
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text) and "@@" not in text


def test_text_from_outside_is_escaped(tmp_path, report):
    write_report(tmp_path / "r.html", report)
    text, _ = data_of(tmp_path / "r.html")
    assert "clip &lt;&amp;&gt; one.h264" in text and text.count("</script>") == 2


def test_pictures_are_left_out_evenly_to_stay_in_the_budget(tmp_path, report):
    write_report(tmp_path / "r.html", report)
    full = (tmp_path / "r.html").stat().st_size
    write_report(tmp_path / "small.html", report, budget_bytes=30_000)
    text, data = data_of(tmp_path / "small.html")
    assert sum(map(len, data["images"])) < 60_000 < full
    assert 1 < len(data["shown"]) < 24 and len(data["status"]) == 24
    assert "of 24 pictures are shown here" in text


def test_wide_pictures_are_made_smaller(tmp_path, report):
    cv2 = pytest.importorskip("cv2")
    wide = [np.repeat(clip[:2], 10, axis=2) for clip in (report.decoded, report.recovered)]
    masks = np.zeros(wide[0].shape[:3], np.uint8)
    small = Report("w", "", *wide, masks, report.status[:2], report.picture_type[:2], 25.0)
    write_report(tmp_path / "r.html", small)
    jpeg = base64.b64decode(data_of(tmp_path / "r.html")[1]["images"][0])
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape == (48, 640, 3)


def test_without_a_recovery_there_is_no_repaired_view(tmp_path, report):
    report.recovered = None
    write_report(tmp_path / "r.html", report)
    assert data_of(tmp_path / "r.html")[1]["repaired"] is False

"""Samples of containers and Annex B, there and back."""

import pytest

from b2scvr.bitstream.annexb import SampleFormat, from_annexb, lengths_fit, sample_format, split_lengths, to_annexb
from b2scvr.bitstream.nal import START_CODE


def avc_record(length_bytes=4, sps=b"\x67abc", pps=b"\x68d"):
    head = bytes([1, 100, 0, 10, 0xFC | length_bytes - 1])
    return head + b"\xe1" + len(sps).to_bytes(2, "big") + sps + b"\x01" + len(pps).to_bytes(2, "big") + pps


def test_the_record_of_a_container_is_read():
    assert sample_format(avc_record(2)) == SampleFormat(2, (b"\x67abc", b"\x68d"))
    assert sample_format(None) == SampleFormat(0) == sample_format(b"")
    assert sample_format(START_CODE + b"\x67a" + START_CODE + b"\x68b") == SampleFormat(0, (b"\x67a", b"\x68b"))
    assert sample_format(avc_record()[:9]).parameter_sets == (b"\x67",)  # cut off in the middle


def test_samples_become_annex_b_and_back():
    form = sample_format(avc_record(2))
    sample = b"\x00\x03\x65xy" + b"\x00\x02\x06z"
    unit = to_annexb(sample, form, is_first=True)
    assert unit == b"".join(START_CODE + nal for nal in (b"\x67abc", b"\x68d", b"\x65xy", b"\x06z"))
    assert from_annexb(unit, form) == sample
    assert to_annexb(b"\x00\x02\x41x", form, is_first=False) == START_CODE + b"\x41x"
    with pytest.raises(ValueError, match="70000 bytes does not fit lengths of 2 bytes"):
        from_annexb(START_CODE + b"\x65" * 70000, form)


@pytest.mark.parametrize(
    "sample", [b"\x00\x00\x00\xff\x65ab", b"\x00\x00\x00\x03\x65ab\x00\x00", b"\xff\xff\xff\xff\x65ab"]
)
def test_a_length_that_lies_means_what_is_there(sample):
    assert split_lengths(sample, 4) == [b"\x65ab"]


def test_the_record_of_hevc_is_read():
    arrays = b"\x02" + b"\x20\x00\x01\x00\x02\x40v" + b"\x21\x00\x02\x00\x02\x42s\x00\x02\x42t"
    record = b"\x01" + bytes(20) + b"\xff" + arrays
    form = sample_format(record, is_hevc=True)
    assert form == SampleFormat(4, (b"\x40v", b"\x42s", b"\x42t"), True)
    key = b"\x00\x00\x00\x03\x26\x01x"  # IDR_W_RADL
    assert to_annexb(key, form, is_first=False) == form.annexb_parameter_sets() + START_CODE + b"\x26\x01x"
    assert to_annexb(b"\x00\x00\x00\x03\x02\x01x", form, is_first=False) == START_CODE + b"\x02\x01x"


@pytest.mark.parametrize(
    ("sample", "fits"), [(b"\x00\x01a\x00\x02bc", True), (b"\x00\x01a\x00\x03bc", False), (b"\x00\x01ab", False)]
)
def test_lengths_fit_or_not(sample, fits):
    assert lengths_fit(sample, 2) is fits

"""H.264 and HEVC samples of containers (MP4, MKV, FLV) to Annex B and back.

Containers put the length of each NAL unit before it and keep the parameter sets apart, in an AVCDecoderConfigurationRecord
or an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1). Nothing is refused here: damage may have hit
the lengths as well as what they count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from b2scvr.bitstream.nal import START_CODE, NalType, scan

_VERSION = 1  # configurationVersion; Annex-B extradata starts with a zero
_AVC_BYTES, _HEVC_BYTES = 5, 22  # of a record, up to and including lengthSizeMinusOne
_COUNT_MASK = 0x1F  # numOfSequenceParameterSets; its other bits are reserved
_NAL_LENGTH_BYTES = 2  # of a parameter set in a record
_HEVC_IRAP, _HEVC_SPS = range(16, 24), 33  # nal_unit_type (H.265 table 7-1)


@dataclass(frozen=True)
class SampleFormat:
    """How a container holds its H.264 samples."""

    length_bytes: int  # bytes of the length before each NAL unit; 0: start codes (Annex B)
    parameter_sets: tuple[bytes, ...] = ()  # NAL units sent apart from the samples, without start codes

    is_hevc: bool = False

    def annexb_parameter_sets(self) -> bytes:
        """The parameter sets with start codes."""
        return b"".join(START_CODE + nal for nal in self.parameter_sets)


def sample_format(extradata: bytes | None, is_hevc: bool = False) -> SampleFormat:
    """Return the format that a stream's extradata tell; what is cut off in them is left out."""
    data = extradata or b""
    fixed = _HEVC_BYTES if is_hevc else _AVC_BYTES
    if len(data) <= fixed or data[0] != _VERSION:
        return SampleFormat(0, tuple(data[nal.payload : nal.end] for nal in scan(data)), is_hevc)
    found = _hevc_sets(data) if is_hevc else _avc_sets(data)
    return SampleFormat(1 + (data[fixed - 1] & 3), tuple(filter(None, found)), is_hevc)


def _avc_sets(record: bytes) -> Iterator[bytes]:
    """Yield the sequence parameter sets, then the picture parameter sets."""
    position = _AVC_BYTES
    for mask in (_COUNT_MASK, 0xFF):
        count = record[position] & mask if position < len(record) else 0
        position += 1
        for _ in range(count):
            position, nal = _set_at(record, position)
            yield nal


def _hevc_sets(record: bytes) -> Iterator[bytes]:
    """Yield the parameter sets, array by array."""
    position = _HEVC_BYTES
    arrays, position = record[position], position + 1
    for _ in range(arrays):
        count = int.from_bytes(record[position + 1 : position + 3], "big")
        position += 3
        for _ in range(count):
            if position >= len(record):
                return
            position, nal = _set_at(record, position)
            yield nal


def _set_at(record: bytes, position: int) -> tuple[int, bytes]:
    start = position + _NAL_LENGTH_BYTES
    end = start + int.from_bytes(record[position:start], "big")
    return end, record[start:end]


def to_annexb(sample: bytes, form: SampleFormat, is_first: bool) -> bytes:
    """Return a sample with start codes, the parameter sets before the first one and before each key picture without its own.

    A length that reaches beyond the sample means what is there.
    """
    if form.length_bytes:
        sample = b"".join(START_CODE + nal for nal in split_lengths(sample, form.length_bytes))
    headers = [sample[nal.payload] for nal in scan(sample)]
    if form.is_hevc:
        types = {header >> 1 & 0x3F for header in headers}
        starts, has_sets = not types.isdisjoint(_HEVC_IRAP), _HEVC_SPS in types
    else:
        types = {header & 0x1F for header in headers}
        starts, has_sets = NalType.IDR in types, NalType.SPS in types
    return form.annexb_parameter_sets() + sample if (is_first or starts) and not has_sets else sample


def from_annexb(unit: bytes, form: SampleFormat) -> bytes:
    """Return an access unit as a sample of the container, less the parameter sets that the container keeps apart.

    Raises ValueError for a NAL unit that is too long for the container's lengths.
    """
    nals = [unit[nal.payload : nal.end] for nal in scan(unit)]
    if not form.length_bytes:
        return unit
    kept = [nal for nal in nals if nal not in form.parameter_sets]
    try:
        return b"".join(len(nal).to_bytes(form.length_bytes, "big") + nal for nal in kept)
    except OverflowError as error:
        longest = max(map(len, kept))
        raise ValueError(f"a NAL unit of {longest} bytes does not fit lengths of {form.length_bytes} bytes") from error


def lengths_fit(sample: bytes, length_bytes: int) -> bool:
    """Whether the lengths of a sample end where the sample ends."""
    position = 0
    while position < len(sample):
        position += length_bytes + int.from_bytes(sample[position : position + length_bytes], "big")
    return position == len(sample)


def split_lengths(sample: bytes, length_bytes: int) -> list[bytes]:
    """Return the NAL units of a sample with lengths."""
    found = []
    position = 0
    while position < len(sample):
        start = position + length_bytes
        position = start + int.from_bytes(sample[position:start], "big")
        if nal := sample[start:position]:
            found.append(nal)
    return found

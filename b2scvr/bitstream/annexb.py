"""H.264 samples of containers (MP4, MKV, FLV) to Annex B and back.

Containers put the length of each NAL unit before it and keep the parameter sets apart, in an AVCDecoderConfigurationRecord
(ISO/IEC 14496-15, 5.3.3.1). Nothing is refused here: damage may have hit the lengths as well as what they count.
"""

from __future__ import annotations

from dataclasses import dataclass

from b2scvr.bitstream.nal import START_CODE, NalType, scan

_VERSION = 1  # configurationVersion; Annex-B extradata starts with a zero
_FIXED_BYTES = 6  # of the record, up to and including numOfSequenceParameterSets
_COUNT_MASK = 0x1F  # numOfSequenceParameterSets; its other bits are reserved
_NAL_LENGTH_BYTES = 2  # of a parameter set in the record
_TYPE_MASK = 0x1F


@dataclass(frozen=True)
class SampleFormat:
    """How a container holds its H.264 samples."""

    length_bytes: int  # bytes of the length before each NAL unit; 0: start codes (Annex B)
    parameter_sets: tuple[bytes, ...] = ()  # NAL units sent apart from the samples, without start codes


def sample_format(extradata: bytes | None) -> SampleFormat:
    """Return the format that a stream's extradata tell; what is cut off in them is left out."""
    if not extradata:
        return SampleFormat(0)
    if extradata[0] != _VERSION or len(extradata) < _FIXED_BYTES:
        return SampleFormat(0, tuple(extradata[nal.payload : nal.end] for nal in scan(extradata)))
    found: list[bytes] = []
    position = _FIXED_BYTES
    for count in (extradata[_FIXED_BYTES - 1] & _COUNT_MASK, None):
        if count is None:  # numOfPictureParameterSets
            count = extradata[position] if position < len(extradata) else 0
            position += 1
        for _ in range(count):
            start = position + _NAL_LENGTH_BYTES
            position = start + int.from_bytes(extradata[position:start], "big")
            found.append(extradata[start:position])
    return SampleFormat(1 + (extradata[4] & 3), tuple(nal for nal in found if nal))


def to_annexb(sample: bytes, form: SampleFormat, is_first: bool) -> bytes:
    """Return a sample with start codes, the parameter sets before the first one and before each IDR picture without its own.

    A length that reaches beyond the sample means what is there.
    """
    if form.length_bytes:
        sample = b"".join(START_CODE + nal for nal in split_lengths(sample, form.length_bytes))
    types = {nal.type for nal in scan(sample)}
    if (is_first or NalType.IDR in types) and NalType.SPS not in types:
        return b"".join(START_CODE + nal for nal in form.parameter_sets) + sample
    return sample


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

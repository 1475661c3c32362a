"""The parameter sets that a stream has sent, for a decoder that begins in the midst of it."""

from __future__ import annotations

from collections.abc import Iterator

from b2scvr.bitstream.nal import START_CODE, NalType, scan


class SentSets:
    """The parameter sets of a stream so far, as they came: each once, the one that was sent last behind the others."""

    def __init__(self) -> None:
        self._raw: dict[bytes, None] = {}

    def update(self, access_unit: bytes) -> None:
        """Take over the parameter sets in a piece of Annex-B stream, readable or not."""
        for raw in _sets_in(access_unit):
            self._raw.pop(raw, None)
            self._raw[raw] = None

    def without(self, access_unit: bytes) -> bytes:
        """Return all but those that come again in a piece of Annex-B stream."""
        again = set(_sets_in(access_unit))
        return b"".join(raw for raw in self._raw if raw not in again)

    def __bytes__(self) -> bytes:
        return b"".join(self._raw)


def _sets_in(access_unit: bytes) -> Iterator[bytes]:
    for nal in scan(access_unit):
        if nal.type in (NalType.SPS, NalType.PPS):
            yield START_CODE + access_unit[nal.payload : nal.end]

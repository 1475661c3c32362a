"""Packets for decoders."""

from __future__ import annotations

import av


def padded_packet(data: bytes, number: int | None = None) -> av.Packet:
    """Return a packet that holds a copy of `data` with zeros behind it, and `number` for its times.

    Decoders read on behind the end of a packet (AV_INPUT_BUFFER_PADDING_SIZE). A packet made of bytes directly has
    behind it whatever lies there in memory: the same damaged stream then decodes to other pictures from run to run, and
    even an intact one may.
    """
    packet = av.Packet(len(data))
    packet.update(data)
    packet.pts = packet.dts = number
    return packet

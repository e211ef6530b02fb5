"""TFRecord, the format of TensorBoard's event files: a length, a payload, and a checksum of each.

tensorboard has this too, behind imports of a quarter of a second.
https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

from __future__ import annotations

import struct


def record(payload: bytes) -> bytes:
    """`payload` as one record, to be appended to a file."""
    length = struct.pack("<Q", len(payload))
    checksums = (struct.pack("<I", masked_crc32c(part)) for part in (length, payload))
    return length + next(checksums) + payload + next(checksums)


def masked_crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), rotated and shifted, so that it may itself lie in checksummed data."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """CRC-32C of `data`, byte by byte."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)  # the polynomial, lowest bit first
    return byte


_TABLE = tuple(map(_entry, range(256)))

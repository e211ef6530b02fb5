"""Records are those of tensorboard's own writer, byte for byte."""

import io

import pytest
from tensorboard.summary.writer.record_writer import RecordWriter

from lrbench.record.tfrecord import crc32c, record


def test_crc32c_has_its_published_values() -> None:
    """RFC 3720, B.4: 32 zeros, 32 ones, and 0 to 31; and the usual check value."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize("payload", [b"", b"lr", bytes(range(256)) * 3])
def test_records_equal_tensorboards(payload: bytes) -> None:
    theirs = io.BytesIO()
    RecordWriter(theirs).write(payload)
    assert record(payload) == theirs.getvalue()

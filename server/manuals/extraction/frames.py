"""What parent and child say to each other: length-prefixed JSON, one object a frame."""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO, Final

HEADER: Final = struct.Struct(">I")
MAX_FRAME_BYTES: Final = 16 * 2**20
"""More than any page needs; a child that announces more is broken or hostile."""


def pack(message: dict[str, Any]) -> bytes:
    """Return the frame of a message."""
    body = json.dumps(message, ensure_ascii=True).encode()
    return HEADER.pack(len(body)) + body


def write(stream: BinaryIO, message: dict[str, Any]) -> None:
    """Write a message and flush, so that progress is seen as it is made."""
    stream.write(pack(message))
    stream.flush()


def read_request(stream: BinaryIO) -> tuple[dict[str, Any], bytes]:
    """Read the request: a frame, then the document until the end of the stream."""
    size = HEADER.unpack(stream.read(HEADER.size))[0]
    request: dict[str, Any] = json.loads(stream.read(size))
    return request, stream.read()

"""What was written already, told in constant memory."""

from __future__ import annotations

import hashlib

BITS = 2**27
"""16 MiB: of a million different lines fewer than one is taken for a repetition, of ten million
one in two hundred."""
_HASHES = 4


class Seen:
    """A Bloom filter over lines (Bloom, 1970): it never forgets one, and rarely invents one."""

    def __init__(self) -> None:
        self._bits = bytearray(BITS // 8)

    def add(self, line: bytes) -> bool:
        """Remember a line; return whether it was there before."""
        digest = hashlib.blake2b(line, digest_size=8 * _HASHES).digest()
        known = True
        for index in range(_HASHES):
            place = int.from_bytes(digest[8 * index : 8 * index + 8], "big") % BITS
            byte, bit = place >> 3, 1 << (place & 7)
            if not self._bits[byte] & bit:
                known = False
                self._bits[byte] |= bit
        return known

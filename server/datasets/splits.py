"""Which file an example goes to: by a stable hash of its question, never by chance.

All examples of one question about one product share a hash, so that none of them can stand in the
training data while another tests what was learnt.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from server.language.terms import fold, terms

SplitName = Literal["none", "80/20", "80/10/10"]
Part = Literal["all", "train", "validation", "test"]

SPLITS: dict[SplitName, tuple[tuple[Part, int], ...]] = {
    "none": (("all", 100),),
    "80/20": (("train", 80), ("validation", 20)),
    "80/10/10": (("train", 80), ("validation", 10), ("test", 10)),
}
"""Each split's files and their shares in hundredths."""

_STEPS = 2**64


def normalise_question(question: str) -> str:
    """Return what two askings of one question have in common: its terms, sorted, each once.

    Case, accents, punctuation, word order, endings and words that carry no topic do not count, so
    that a question asked a little differently is kept together with the first. A question without
    terms is its folded text, single-spaced.
    """
    found = terms(question)
    return " ".join(sorted(set(found))) if found else " ".join(fold(question).split())


def same_question(one: str, other: str) -> bool:
    """Return whether two texts ask the same but for case, accents and blanks.

    Narrower than `normalise_question`, for which "turn it on" and "turn it off" are one.
    """
    return fold(one).split() == fold(other).split()


def group_key(product_id: str | None, question: str) -> str:
    """Return the key that all examples of one question about one product share."""
    return f"{product_id or ''}\x00{normalise_question(question)}"


def part_of(key: str, split: SplitName, seed: str) -> Part:
    """Return the file for a group: the same for the same key, split and seed, on any machine."""
    digest = hashlib.sha256(f"{seed}\x00{key}".encode("utf-8", "surrogatepass")).digest()
    place = int.from_bytes(digest[:8], "big")
    reached = 0
    for part, share in SPLITS[split]:
        reached += share
        if place * 100 < reached * _STEPS:
            return part
    raise AssertionError("shares sum to 100")

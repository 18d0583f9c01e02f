"""Receipts hold what they say, and only what we signed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import EventError
from protocol.receipts import Receipt, sign, verify

OLD, NEW = b"old key", b"new key"
RECEIPT = Receipt(
    response_id="resp_1",
    product_id="p",
    manual_sha256="ab",
    prompt="answer/general/1",
    arm=None,
    model="extractive",
    confidence=0.5,
    time=1,
)


def facts(receipt: Receipt) -> tuple[object, ...]:
    return (receipt.response_id, receipt.prompt, receipt.confidence, receipt.time)


def test_a_signed_receipt_is_read_back():
    assert facts(verify(sign(RECEIPT, NEW), [NEW])) == facts(RECEIPT)


def test_an_old_key_still_verifies_after_rotation_and_a_foreign_one_never():
    text = sign(RECEIPT, OLD)
    assert facts(verify(text, [NEW, OLD])) == facts(RECEIPT)
    with pytest.raises(EventError, match="signed"):
        verify(text, [NEW])


@given(st.integers(min_value=0), st.characters(codec="ascii"))
def test_one_changed_character_is_noticed(position, character):
    text = sign(RECEIPT, NEW)
    position %= len(text)
    changed = text[:position] + character + text[position + 1 :]
    if changed == text:
        return
    try:
        receipt = verify(changed, [NEW])
    except EventError as error:
        assert error.code == "invalid_receipt"
    else:  # the last base64 character holds bits that mean nothing
        assert position in (text.index(".") - 1, len(text) - 1)
        assert facts(receipt) == facts(RECEIPT)


@given(st.text(max_size=100))
def test_any_other_text_is_refused(text):
    with pytest.raises(EventError) as caught:
        verify(text, [NEW])
    assert caught.value.code == "invalid_receipt"

"""Signatures as the specification's own examples have them."""

import base64

import pytest

from server.webhooks.signing import read_key, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_signature_is_that_of_the_reference_libraries():
    made = sign(
        [read_key(SECRET)],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_each_key_signs_so_that_keys_can_be_changed():
    keys = [b"a" * 24, b"b" * 24]
    both = sign(keys, "msg_1", 1, b"{}").split(" ")
    assert both == [sign([key], "msg_1", 1, b"{}") for key in keys]
    assert both[0] != both[1]


@pytest.mark.parametrize(
    "secret",
    [
        *("", "whsec_", "secret", "whsec_short", "whsec_!!!!" + "A" * 40),
        SECRET.removeprefix("whsec_"),
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        "whsec_é" + "A" * 40,
    ],
)
def test_what_is_no_secret_is_refused_in_words_without_it(secret):
    with pytest.raises(ValueError, match="Write whsec_ and 24 to 64 random bytes") as caught:
        read_key(secret)
    assert len(secret) < 8 or secret not in str(caught.value)

"""The file of endpoints is taken whole or refused with every mistake."""

import pytest
from receiver import OLD_SECRET, SECRET

from server.webhooks.endpoints import EVENTS, MAX_ENDPOINTS, WebhookError, read_endpoints
from server.webhooks.signing import read_key

WHOLE = f"""
[[endpoint]]
name = "quality"
url = "https://hooks.example.com/a?token=t"
secret = "{SECRET}"
old_secret = "{OLD_SECRET}"
events = ["answer.rejected"]
tenant = "acme"
comments = true

[[endpoint]]
name = "all"
url = "https://hooks.example.com/b"
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "webhooks.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_a_file_is_read(write):
    quality, every = read_endpoints(write(WHOLE), secret=OLD_SECRET)
    assert (quality.name, quality.tenant, quality.comments) == ("quality", "acme", True)
    assert quality.keys == (read_key(SECRET), read_key(OLD_SECRET))
    assert every.keys == (read_key(OLD_SECRET),)
    assert every.events == EVENTS
    assert not every.comments
    assert quality.wants("answer.rejected", "acme")
    assert not quality.wants("answer.rejected", "other")
    assert not quality.wants("answer.rejected", None)
    assert not quality.wants("feedback.created", "acme")
    assert every.wants("dead_letter.created", None)


def test_no_secret_and_no_address_is_ever_shown(write):
    shown = repr(read_endpoints(write(WHOLE), secret=OLD_SECRET))
    assert "token" not in shown
    assert "whsec" not in shown
    assert "0123456789abcdef" not in shown


ENTRY = '[[endpoint]]\nname = "a"\nurl = "https://hooks.example.com"\n'
MISTAKES = {
    "no toml": ("[[", "is no TOML file"),
    "no text": (b"\xff", "is no TOML file"),
    "nothing": ("", "write [[endpoint]] tables"),
    "a table": ('[endpoint]\nname = "a"', "write [[endpoint]] tables"),
    "more": ("other = 1\n" + ENTRY, "write [[endpoint]] tables"),
    "no url": ('[[endpoint]]\nname = "a"', "missing required field `url`"),
    "unknown": (ENTRY + 'event = "x"', "unknown field `event`"),
    "kind": (ENTRY + 'comments = "yes"', "Expected `bool`"),
    "name": (ENTRY.replace('"a"', '"A b"'), "small letters"),
    "http": (ENTRY.replace("https", "http"), "its url is not https"),
    "user": (ENTRY.replace("//", "//u:p@"), "its url holds a user name"),
    "event": (ENTRY + 'events = ["feedback"]', 'there is no event "feedback"'),
    "secret": (ENTRY + 'secret = "abc"', "its secret is no signing secret"),
    "twice": (ENTRY + ENTRY, "the same name"),
    "many": (ENTRY * (MAX_ENDPOINTS + 1), f"{MAX_ENDPOINTS} at most"),
    "large": ("#" * 300_000, "larger than 256 KiB"),
}


@pytest.mark.parametrize(("text", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_said(write, text, said):
    with pytest.raises(WebhookError) as caught:
        read_endpoints(write(text), secret=SECRET)
    assert said in str(caught.value)


def test_all_mistakes_are_said_at_once(write):
    entry = ENTRY.replace("https", "ftp") + 'events = ["x"]\nsecret = "y"\n'
    with pytest.raises(WebhookError) as caught:
        read_endpoints(write(entry))
    assert len(caught.value.problems) == 3


def test_an_endpoint_without_any_secret_is_refused(write):
    with pytest.raises(WebhookError, match="its secret is no signing secret"):
        read_endpoints(write(ENTRY))


def test_private_addresses_and_ports_by_setting_only(write):
    path = write(ENTRY.replace("https://hooks.example.com", "http://127.0.0.1:9000/x"))
    with pytest.raises(WebhookError):
        read_endpoints(path, secret=SECRET)
    [one] = read_endpoints(path, secret=SECRET, allow_http=True, allow_private=True)
    assert one.url == "http://127.0.0.1:9000/x"

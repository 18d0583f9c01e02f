"""`manicule webhooks` on a real store and against a real receiver."""

import json

import pytest
from filled_store import judged, store_file
from judgements import changed
from receiver import SECRET, Receiver, status

from server.feedback.audit import AUDIT_FILE, entries
from server.storage.records import encode_row
from server.storage.sqlite_store import SqliteStore
from server.webhooks.endpoints import Endpoint
from server.webhooks.notices import Announcements
from server.webhooks.signing import read_key

CANARY = "\x1b[31mVogelscheuche"


@pytest.fixture
async def store(tmp_path):
    """A store with three notices for `quality`: 1 is dead, 2 was tried, 3 is new."""
    endpoint = Endpoint("quality", "https://x.example", (read_key(SECRET),))
    made = SqliteStore(store_file(tmp_path), announcer=Announcements([endpoint]))
    await made.open()
    rows = [changed(judged(number, "accept")[1], comment=CANARY) for number in range(3)]
    await made.write(rows)
    lent = await made.outbox.borrow("quality", limit=2, now=2**41, until=2**42, loan="x")
    await made.outbox.failed(lent[0].number, "x", next_at=None, error="HTTP 500")
    await made.outbox.failed(lent[1].number, "x", next_at=2**42, error="no answer in 10 s")
    yield made
    await made.aclose()


@pytest.fixture
async def receiver():
    made = Receiver()
    await made.start()
    yield made
    await made.stop()


def configure(folder, receiver):
    """The settings of a server that tells one endpoint that works and one that does not."""
    (folder / "webhooks.toml").write_text(
        f'[[endpoint]]\nname = "works"\nurl = "{receiver.url}/works"\n'
        f'[[endpoint]]\nname = "fails"\nurl = "{receiver.url}/fails"\n'
    )
    receiver.answer = lambda request: status(500 if "fails" in request.line else 200)
    return {
        "MANICULE_WEBHOOKS": "webhooks.toml",
        "MANICULE_WEBHOOK_SECRET": SECRET,
        "MANICULE_ALLOW_HTTP": "true",
        "MANICULE_ALLOW_PRIVATE_ADDRESSES": "true",
    }


async def test_notices_are_listed(manicule, store):
    done = await manicule("webhooks", "list")
    assert (done.code, done.err) == (0, "")
    rows = [row.split() for row in done.out.splitlines()[2:]]
    assert [(row[0], row[5], row[6]) for row in rows] == [
        ("1", "dead", "1"),
        ("2", "waiting", "1"),
        ("3", "waiting", "0"),
    ]
    assert "HTTP 500" in done.out
    done = await manicule("webhooks", "list", "--state", "dead", "--json")
    [one] = map(json.loads, done.out.splitlines())
    assert (one["number"], one["next_at"], one["error"]) == (1, None, "HTTP 500")
    assert one["body"]["type"] == "feedback.created"
    done = await manicule("webhooks", "list", "--limit", "1", "--after", "1")
    assert "add --after 2" in done.out
    done = await manicule("webhooks", "list", "--endpoint", "other")
    assert done.out == "Nothing waits and nothing was given up.\n"
    assert (await manicule("webhooks", "list", "--state", "lost")).code == 2


async def test_one_is_shown_without_any_comment(manicule, store):
    done = await manicule("webhooks", "show", "2")
    assert done.code == 0
    assert "no answer in 10 s" in done.out
    assert '"action": "accept"' in done.out
    assert "Vogelscheuche" not in done.out
    done = await manicule("webhooks", "show", "4")
    assert (done.code, done.err) == (1, "There is no notice 4; perhaps it was delivered.\n")


async def test_the_dead_are_replayed_and_that_is_noted(manicule, store, tmp_path):
    done = await manicule("webhooks", "replay", "1", "2")
    assert (done.code, done.out) == (1, "1 due now; a running server sends them.\n")
    [one] = await store.outbox.deliveries(1)
    assert (one.state, one.attempts) == ("waiting", 0)
    done = await manicule("webhooks", "replay", "--all")
    assert (done.code, done.out) == (0, "0 due now; a running server sends them.\n")
    noted = [entry.action for entry in entries(tmp_path / "data" / AUDIT_FILE)]
    assert noted == ["webhooks.replay"] * 2
    assert (await manicule("webhooks", "replay")).code == 2
    assert (await manicule("webhooks", "replay", "1", "--all")).code == 2


async def test_endpoints_are_tried_out(manicule, receiver, tmp_path):
    settings = configure(tmp_path, receiver)
    done = await manicule("webhooks", "test", **settings)
    assert done.code == 1
    assert done.out == "ok      works  HTTP 200\nfailed  fails  HTTP 500\n"
    assert [one.event["type"] for one in receiver.requests] == ["webhook.test"] * 2
    assert all(one.signed_with(SECRET) for one in receiver.requests)
    assert (await manicule("webhooks", "test", "works", **settings)).code == 0
    done = await manicule("webhooks", "test", "nope", **settings)
    assert (done.code, done.err) == (2, "There is no such endpoint. Known: works, fails.\n")


async def test_mistakes_in_the_file_are_said(manicule, tmp_path):
    done = await manicule("webhooks", "test", MANICULE_WEBHOOKS="absent.toml")
    assert done.code == 2
    assert "absent.toml: No such file or directory" in done.err
    (tmp_path / "webhooks.toml").write_text('[[endpoint]]\nname = "a"\nurl = "ftp://x"\n')
    for words in (("webhooks", "test"), ("serve", "--port", "0")):
        done = await manicule(*words, MANICULE_WEBHOOKS="webhooks.toml")
        assert done.code == 2
        assert 'endpoint "a": its url is not https' in done.err
        assert "its secret is no signing secret" in done.err
    done = await manicule("check", MANICULE_WEBHOOKS="webhooks.toml")
    assert "failed  webhooks" in done.out


async def test_a_letter_sent_again_is_told_too(manicule, store, receiver, tmp_path):
    await store.put_dead_letter(encode_row(judged(9, "reject")[1]), "refused", 0)
    done = await manicule("dlq", "replay", "--all", **configure(tmp_path, receiver))
    assert done.code == 0
    told = await store.outbox.deliveries(100, endpoint="works")
    assert [one.event for one in told] == ["feedback.created", "answer.rejected"]

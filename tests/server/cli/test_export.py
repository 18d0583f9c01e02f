"""`manicule export` against a real store, and the whole way from a question to its line."""

import asyncio
import hashlib
import json
import signal
from pathlib import Path
from uuid import uuid4

import pytest
from filled_store import fill, judged
from typer.testing import CliRunner
from websockets.asyncio.client import connect

from server.cli.app import app
from server.cli.exporting import REASONS
from server.datasets.examples import Reason
from server.feedback.audit import AUDIT_FILE, entries

FORMATS = ("openai-chat", "openai-preference", "gemini", "gemini-preference", "trl", "csv")


def rows(numbers=range(40)):
    """Of each ten: five accepted, two modified, one each rejected, rated and dismissed."""
    actions = ["accept"] * 5 + ["modify"] * 2 + ["reject", "rate", "dismiss"]
    return [row for n in numbers for row in judged(n, actions[n % 10], confidence=n % 10 / 10)]


@pytest.fixture
async def filled(tmp_path):
    await fill(tmp_path, rows())


def lines_of(folder: Path, name: str):
    return [json.loads(line) for line in (folder / name).read_text("utf-8").splitlines()]


async def test_a_split_with_its_manifest_and_what_was_left_out(manicule, filled, tmp_path):
    done = await manicule("export", "-o", "sets/one", "--split", "80/20", "--system", "Be brief.")
    assert (done.code, done.err) == (0, "")
    folder = tmp_path / "sets" / "one"
    names = {path.name for path in folder.iterdir()}
    assert names == {"train.jsonl", "validation.jsonl", "manifest.json"}
    made = [line for name in names - {"manifest.json"} for line in lines_of(folder, name)]
    said = {tuple(each["content"] for each in line["messages"]) for line in made}
    assert len(said) == len(made) == 28
    assert ("Be brief.", "How is part 0 cleaned?", "Wipe part 0.") in said
    assert ("Be brief.", "How is part 5 cleaned?", "Wipe part 5 with a cloth.") in said
    out = " ".join(done.out.split())
    assert "28 lines of 40 judgements by 1 known users" in out
    for reason in ("rejected", "rated", "dismissed"):
        assert f"4 {reason} {REASONS[reason]}" in out
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["files"]:
        digest = hashlib.sha256((folder / entry["name"]).read_bytes()).hexdigest()
        assert digest == entry["sha256"]
        assert f"{entry['lines']} lines {entry['bytes']:,} bytes sha256 {digest[:16]}" in out
    assert f"--after {manifest['lineage']['last_event_id']}" in out


async def test_every_format_is_written(manicule, filled, tmp_path):
    words = [("export", "-f", each, "-o", each, "--json") for each in FORMATS]
    exports = await asyncio.gather(*(manicule(*each) for each in words))
    for each, done in zip(FORMATS, exports, strict=True):
        assert (done.code, done.err) == (0, ""), each
        manifest = json.loads(done.out)
        assert manifest == json.loads((tmp_path / each / "manifest.json").read_text())
        assert manifest["format"] == each
        assert manifest["lines"] > 0


async def test_golden_questions_stay_out(manicule, filled, tmp_path):
    golden = [{"question": "how is PART 0 cleaned", "pages": [1]}, {"question": "Unheard of?"}]
    text = "".join(json.dumps(each) + "\n\n" for each in golden)
    (tmp_path / "golden.jsonl").write_text(text)
    done = await manicule("export", "-o", "out", "--golden", "golden.jsonl", "--json")
    assert done.code == 0
    manifest = json.loads(done.out)
    assert manifest["golden_questions"] == 2
    assert manifest["left_out"]["golden_question"] == 1
    assert "part 0 " not in (tmp_path / "out" / "all.jsonl").read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"question": "a?"}\n{"frage": "b?"}\n', "line 2: write {"),
        ("what?\n", "line 1: write {"),
        ('{"question": " "}\n', "line 1: write {"),
        ("\n", "holds no question"),
        (b"\xff\xfe", "is not UTF-8"),
        (None, "No such file"),
    ],
)
def test_half_a_golden_set_exports_nothing(tmp_path, text, said):
    path = tmp_path / "golden.jsonl"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(said, tmp_path / "out", "--golden", str(path))


async def test_a_later_export_goes_on_where_the_first_ended(manicule, filled, tmp_path):
    first = json.loads((await manicule("export", "-o", "first", "--json")).out)
    last = first["lineage"]["last_event_id"]
    nothing = await manicule("export", "-o", "second", "--after", last)
    assert nothing.code == 1
    assert "Nothing could be exported, so second was not made." in nothing.err
    assert not (tmp_path / "second").exists()
    await fill(tmp_path, rows(range(40, 50)))
    done = await manicule("export", "-o", "second", "--after", last, "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["lineage"]["judgements"] == 10
    assert len(lines_of(tmp_path / "second", "all.jsonl")) == 7


async def test_filters_are_kept_and_told(manicule, filled, tmp_path):
    words = ("--min-confidence", "0.4", "--since", "2025-03-10", "--product", "od-12", "--json")
    done = await manicule("export", "-o", "out", *words)
    manifest = json.loads(done.out)
    assert manifest["lineage"]["judgements"] == 24
    assert manifest["filters"]["min_confidence"] == 0.4
    assert manifest["filters"]["product_id"] == "od-12"
    [entry] = entries(tmp_path / "data" / AUDIT_FILE)
    assert (entry.action, entry.facts["min_confidence"]) == ("export", 0.4)


async def test_nothing_to_learn_from_says_why_and_leaves_nothing(manicule, filled, tmp_path):
    done = await manicule("export", "-o", "out", "--user", "nobody")
    assert done.code == 1
    assert "0 lines of 0 judgements" in done.out
    assert not (tmp_path / "out").exists()


async def test_what_is_there_is_never_overwritten(manicule, filled, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    done = await manicule("export", "-o", "out")
    assert (done.code, done.out) == (1, "")
    assert "is there already; name a new folder" in done.err
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


async def test_a_place_that_cannot_be_written_is_told(manicule, filled):
    done = await manicule("export", "-o", "/dev/null/out")
    assert (done.code, done.out) == (1, "")
    assert "Choose another place" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--format", "openai"), "there are openai-chat, openai-preference"),
        (("--split", "70/30"), "There are none, 80/20, 80/10/10."),
        (("--until", "soon"), "--until: 'soon' is no time"),
    ],
)
def test_what_cannot_be_written_is_a_line_that_teaches(tmp_path, words, said):
    refused(said, tmp_path / "out", *words)


def refused(said, output, *words):
    """Say what is wrong in a line, exit 2, write nothing."""
    done = CliRunner().invoke(app, ["export", "-o", str(output), *words])
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not output.exists()


def test_every_reason_is_explained():
    assert set(REASONS) == set(Reason.__args__)


async def test_from_a_question_to_its_line(manicule, start, tmp_path):
    """Serve, ask over the socket, judge, and see it while the server runs."""
    (tmp_path / "manuals").mkdir()
    (tmp_path / "manuals" / "td-17.txt").write_text("Hold KIT and ENTER for a factory reset.")
    async with (
        start("serve", "--port", "0", "--manuals", "manuals") as process,
        asyncio.timeout(30),
    ):
        lines = [(await process.stdout.readline()).decode() for _ in range(3)]
        url = lines[2].split()[1]
        response = await ask_and_judge(url, "modify", "Hold KIT and ENTER.")
        stats, export = await asyncio.gather(
            manicule("stats", "--json", "--by", "product_id,model"),
            manicule("export", "-o", "out", "-f", "openai-preference"),
        )
        process.send_signal(signal.SIGTERM)
        await process.communicate()
        assert process.returncode == 0
    [group] = json.loads(stats.out)["acceptance"]["groups"]
    assert group["key"] == {"product_id": "td-17", "model": "extractive"}
    assert group["counts"]["modified"] == 1
    assert export.code == 0, export.err
    [line] = lines_of(tmp_path / "out", "all.jsonl")
    assert line["input"]["messages"][-1]["content"] == "How is the factory reset done?"
    assert line["preferred_output"][0]["content"] == "Hold KIT and ENTER."
    assert line["non_preferred_output"][0]["content"] == response["output_text"]


async def ask_and_judge(url, action, final_text):
    """Ask a question over a socket and judge its answer; the final response."""
    async with connect(url, subprotocols=["manicule.v1"], proxy=None) as socket:

        async def until(kind):
            while (event := json.loads(await socket.recv()))["type"] != kind:
                assert event["type"] != "error", event
            return event

        question = {"input": "How is the factory reset done?", "product_id": "td-17"}
        await socket.send(json.dumps({"type": "response.create", "event_id": "q", **question}))
        response = (await until("response.completed"))["response"]
        judgement = {"response_id": response["id"], "receipt": response["receipt"]}
        judgement |= {"event_id": str(uuid4()), "action": action, "final_text": final_text}
        await socket.send(json.dumps({"type": "feedback.create", **judgement}))
        assert (await until("feedback.acknowledged"))["level"] == "committed"
    return response

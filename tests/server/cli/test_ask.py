import asyncio
import json
import os
import pty
import signal

import pytest
from websockets.asyncio.server import serve

import manicule as library

QUESTION = "How do I reset it?"


@pytest.fixture
def whole_answer(fake_server):
    fake_server.begin()
    fake_server.progress("manual.extracting", detail={"pages_done": 3, "pages_total": 9})
    fake_server.say("Hold both buttons.")
    quote = {"page": 12, "cited_text": "Hold\nboth buttons", "verified": True}
    fake_server.mark("citation", **quote, start_char=0, end_char=4)
    fake_server.mark("warning", text="All settings are lost.")
    fake_server.say("Then wait. ")
    fake_server.mark("citation", page=13, cited_text="Wait until", verified=True)
    fake_server.mark("citation", **quote)
    fake_server.mark("suggestion", text="A KD-10 pad.", known=True, product_id="kd-10")
    fake_server.mark("pro_tip", text="Back up first.")
    fake_server.mark("follow_up", text="How do I back up?")
    fake_server.mark("edit", text="from a newer server")
    fake_server.events.append({"type": "response.something_new"})
    fake_server.end()
    return fake_server


async def test_an_answer_is_drawn(manicule, whole_answer):
    done = await manicule("ask", QUESTION, "--product", "td-17", "--url", whole_answer.url)
    assert done.out == (
        "Korven TD-17 (td-17)\n\n"
        "Hold both buttons.[1]\n"
        "  Warning: All settings are lost.\n"
        "Then wait. [2][1]\n"
        "  Suggestion: A KD-10 pad. (kd-10)\n"
        "  Tip: Back up first.\n"
        "\nSources\n"
        "[1] p. 12  “Hold both buttons”\n"
        "[2] p. 13  “Wait until”\n"
        "\nAsk next\n"
        "- How do I back up?\n"
        "\ncompleted · scripted · confidence 0.82 (answer) · manual fetched · first word 12 ms · "
        "total 34 ms · about 10 + 5 tokens\n"
    )
    assert (done.code, done.err) == (0, "")


async def test_what_is_asked(manicule, whole_answer):
    words = ("--scenario", "live", "--language", "fr", "-p", "td-17", "--url", whole_answer.url)
    await manicule("ask", QUESTION, *words)
    [asked] = whole_answer.sent("response.create")
    asked.pop("event_id")
    assert asked == {
        "type": "response.create",
        "input": QUESTION,
        "product_id": "td-17",
        "scenario": "live",
        "language": "fr",
    }


async def test_blank_lines_stay_inside_the_text_and_not_at_its_end(manicule, fake_server):
    fake_server.begin()
    for piece in ("\n", "One.", "\n", "\n", "\n", "Two.\n\n", "", "\n"):
        fake_server.say(piece)
    fake_server.mark("citation", page=1, cited_text="one")
    fake_server.say("\n\n\n")
    fake_server.end()
    done = await manicule("ask", QUESTION, "-p", "td-17", "--url", fake_server.url)
    assert done.out.startswith("Korven TD-17 (td-17)\n\nOne.\n\nTwo.\n\n[1]\n\nSources\n")


async def test_json_prints_each_event_as_a_line(manicule, whole_answer):
    done = await manicule("ask", QUESTION, "-p", "td-17", "--json", "--url", whole_answer.url)
    events = [json.loads(line) for line in done.out.splitlines()]
    assert [event["type"] for event in events] == [each["type"] for each in whole_answer.events]
    assert done.code == 0


async def test_a_reset_starts_again(manicule, fake_server):
    fake_server.begin()
    fake_server.say("Wrong")
    fake_server.mark("citation", page=1, cited_text="wrong")
    fake_server.events.append({"type": "response.reset", "reason": "owner died"})
    fake_server.say("Right")
    fake_server.mark("citation", page=2, cited_text="right")
    fake_server.end()
    done = await manicule("ask", QUESTION, "-p", "td-17", "--url", fake_server.url)
    assert "Wrong[1]\nThe answer starts again.\nRight[1]\n" in done.out
    assert "“wrong”" not in done.out


@pytest.mark.parametrize(("status", "code"), [("incomplete", 1), ("failed", 1), ("cancelled", 130)])
async def test_how_it_ended_is_the_exit_code(manicule, fake_server, status: str, code: int):
    fake_server.begin()
    fake_server.end(status, error={"code": "upstream_error", "message": "No model answered."})
    done = await manicule("ask", QUESTION, "-p", "td-17", "--url", fake_server.url)
    assert done.code == code
    assert "upstream_error: No model answered." in done.out


async def test_a_refusal_is_told(manicule, fake_server):
    fake_server.refusal = {"code": "rate_limited", "message": "Wait a minute.", "retryable": True}
    done = await manicule("ask", QUESTION, "-p", "td-17", "--url", fake_server.url)
    assert (done.code, done.err) == (1, "rate_limited: Wait a minute.\n")


async def test_a_lost_connection_is_told(manicule, fake_server):
    fake_server.begin()
    fake_server.say("Hold")
    fake_server.close_after_events = True
    done = await manicule("ask", QUESTION, "-p", "td-17", "--url", fake_server.url)
    assert done.code == 1
    assert "1001: going away" in done.err


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1/ws", "http://127.0.0.1/ws", "nonsense"])
async def test_no_server_is_exit_code_3(manicule, url: str):
    done = await manicule("ask", QUESTION, "-p", "td-17", "--url", url)
    assert (done.code, done.out) == (3, "")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("written", ["http://{}", "http://{}/", "ws://{}", "ws://{}/ws"])
async def test_the_address_of_the_page_is_enough(manicule, written: str):
    paths = []

    async def refuse(socket, request):
        paths.append(request.path)
        return socket.respond(503, "busy")

    async with serve(print, "127.0.0.1", 0, process_request=refuse) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        done = await manicule("search", "td", "--url", written.format(address))
    assert (done.code, paths) == (3, ["/ws"])
    assert "503" in done.err
    assert "try again" in done.err


async def test_a_wrong_path_is_told(manicule):
    async def refuse(socket, request):
        return socket.respond(403, "no")

    async with serve(print, "127.0.0.1", 0, process_request=refuse) as server:
        port = server.sockets[0].getsockname()[1]
        done = await manicule("search", "td", "--url", f"ws://127.0.0.1:{port}/other")
    assert done.code == 3
    assert done.err.strip().endswith("/other: it answered 403. Check the address.")


async def test_another_server_is_exit_code_3(manicule, fake_server):
    fake_server.greeting = '{"type": "welcome"}'
    done = await manicule("ask", QUESTION, "-p", "td-17", "--url", fake_server.url)
    assert done.code == 3
    assert "manicule.v1" in done.err


@pytest.mark.parametrize("frame", ["not json", "[]", '{"type": 3}', "\x1b]0;x\x07"])
async def test_what_is_no_event_ends_it(fake_server, frame: str):
    fake_server.greeting = frame
    with pytest.raises(library.ConnectionLostError):
        async with library.connect(fake_server.url):
            pass


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.completed", "response": 3},
        {"type": "response.output_item.done", "item": {"type": "citation", "page": "x"}},
        {"type": "response.in_progress", "stage": "queued", "detail": 5},
    ],
)
async def test_events_that_do_not_fit_end_it_without_a_traceback(manicule, fake_server, event):
    fake_server.begin()
    fake_server.events.append(event)
    done = await manicule("ask", QUESTION, "-p", "td-17", "--url", fake_server.url)
    assert done.code == 1
    assert done.err == "The server's events do not fit. Compare versions.\n"


@pytest.mark.parametrize(
    "words", [("ask", QUESTION), ("ask", "-p", "td-17"), ("ask", " ", "-p", "x"), ("aks",)]
)
async def test_wrong_usage_is_exit_code_2(manicule, words: tuple[str, ...]):
    done = await manicule(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err


# Products given loosely


async def test_a_name_or_a_clear_leader_is_taken(manicule, fake_server):
    fake_server.begin()
    fake_server.end()
    for given in ("TD-17KVX2", "td-17kvx2"):
        await manicule("ask", QUESTION, "-p", given, "--url", fake_server.url)
    assert [each["product_id"] for each in fake_server.sent("response.create")] == ["td-17kvx2"] * 2
    done = await manicule("ask", QUESTION, "-p", "korven 17", "--url", fake_server.url)
    assert (done.code, done.out.splitlines()[0]) == (0, "Korven TD-17 (td-17)")


async def test_an_unclear_product_lists_those_it_may_be(manicule, fake_server):
    fake_server.products[0]["score"] = 0.91
    done = await manicule("ask", QUESTION, "-p", "korven", "--url", fake_server.url)
    assert (done.code, done.out) == (2, "")
    assert "td-17 " in done.err
    assert "Korven TD-17KVX2" in done.err
    assert not fake_server.sent("response.create")


async def test_no_product_says_how_to_look(manicule, fake_server):
    fake_server.products.clear()
    done = await manicule("ask", QUESTION, "-p", "nothing", "--url", fake_server.url)
    assert done.code == 2
    assert "manicule search" in done.err


async def test_search(manicule, fake_server):
    done = await manicule("search", "td", "17", "--url", fake_server.url)
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()] == ["td-17", "td-17kvx2"]
    assert "no manual" in done.out.splitlines()[1]
    [asked] = fake_server.sent("catalog.search")
    assert (asked["query"], asked["limit"]) == ("td 17", 8)
    lines = (await manicule("search", "td", "--json", "--url", fake_server.url)).out.splitlines()
    assert [json.loads(line) for line in lines] == fake_server.products
    fake_server.products.clear()
    done = await manicule("search", "td", "--url", fake_server.url)
    assert (done.code, done.out) == (1, "")


# Ctrl-C


async def test_ctrl_c_cancels_on_the_server(start, fake_server):
    fake_server.begin()
    fake_server.say("A long answer begins\n")
    async with start("ask", QUESTION, "-p", "td-17", "--url", fake_server.url) as process:
        async with asyncio.timeout(20):
            while b"begins" not in await process.stdout.readline():
                pass
            process.send_signal(signal.SIGINT)
            rest = await process.stdout.read()
            assert await process.wait() == 130
    assert [each["response_id"] for each in fake_server.sent("response.cancel")] == ["resp_1"]
    assert b"cancelled" in rest


async def test_ctrl_c_ends_even_when_the_server_is_silent(start, fake_server):
    fake_server.begin()
    fake_server.events[0]["response_id"] = "resp_1"
    fake_server.say("Begins\n")

    async def deaf(socket, event):
        if event["type"] != "response.cancel":
            await type(fake_server)._answer(fake_server, socket, event)

    fake_server._answer = deaf
    async with start("ask", QUESTION, "-p", "td-17", "--url", fake_server.url) as process:
        async with asyncio.timeout(20):
            while b"Begins" not in await process.stdout.readline():
                pass
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
            assert b"Traceback" not in await process.stderr.read()


# Terminals


async def in_terminal(words: list[str], folder, **extra: str) -> str:
    """Run the command line on a terminal of its own; returns what was drawn, escapes and all."""
    import subprocess
    import sys

    master, slave = pty.openpty()
    env = {name: value for name, value in os.environ.items() if not name.startswith("MANICULE_")}
    env |= {"TERM": "xterm-256color", "COLUMNS": "100"} | extra
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server", *words, cwd=folder, env=env,
        stdin=subprocess.DEVNULL, stdout=slave, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    drawn = b""
    async with asyncio.timeout(20):
        while True:
            try:
                piece = await asyncio.to_thread(os.read, master, 65536)
            except OSError:  # the terminal ends with its last process
                break
            if not piece:
                break
            drawn += piece
        await process.wait()
    os.close(master)
    return drawn.decode()


async def test_a_terminal_gets_colours_and_progress(tmp_path, whole_answer):
    drawn = await in_terminal(["ask", QUESTION, "-p", "td-17", "--url", whole_answer.url], tmp_path)
    assert "reading the manual: page 3 of 9 …" in drawn
    assert "\x1b[32m[1]" in drawn


async def test_no_color_is_honoured(tmp_path, whole_answer):
    words = ["ask", QUESTION, "-p", "td-17", "--url", whole_answer.url]
    drawn = await in_terminal(words, tmp_path, NO_COLOR="1")
    assert "Hold both buttons." in drawn
    assert not any(f"\x1b[{code}m" in drawn for code in (31, 32, 33, 35, 36))


async def test_servers_cannot_steer_the_terminal(manicule, fake_server):
    attack = "\x1b[2J\x1b]0;owned\x07\x9b31m\r\x08\u202egnp.exe\u2066\x00"
    fake_server.products[0]["name"] = f"TD-17{attack}"
    fake_server.begin()
    fake_server.progress("retrieving", manual={"message": attack})
    fake_server.say(attack)
    fake_server.mark("citation", page=1, cited_text=attack)
    fake_server.mark("warning", text=attack)
    fake_server.mark("follow_up", text=attack)
    fake_server.end(model=attack, error={"code": attack, "message": attack}, fallback=attack)
    done = await manicule("ask", QUESTION, "-p", "td-17", "--url", fake_server.url)
    assert done.code == 0
    text = done.out + done.err
    assert "gnp.exe" in text
    for char in "\x1b\x07\x9b\r\x08\u202e\u2066\x00":
        assert char not in text, ascii(char)


async def test_a_terminal_without_unicode_gets_something(manicule, whole_answer):
    words = ("ask", QUESTION, "-p", "td-17", "--url", whole_answer.url)
    done = await manicule(*words, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.code == 0
    assert "Hold both buttons." in done.out

"""The command line as a newcomer uses it: a folder of manuals, a server, questions."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator

import pytest

MANUAL = """# TD-17 Owner's Manual

## Factory reset

To restore the factory settings, hold the KIT and ENTER buttons while turning the power on. All
user data is erased by a factory reset. Make a backup of your kits before you begin.

## Battery

The module has no battery. Use only the supplied AC adaptor, a PSB-1U.

## Headphones

Connect stereo headphones to the PHONES jack. The speakers that are connected to the OUTPUT jacks
stay on.
"""


@pytest.fixture
async def served(start, tmp_path) -> AsyncIterator[str]:
    """The socket's address of a real server over a folder with two manuals."""
    (tmp_path / "manuals").mkdir()
    (tmp_path / "manuals" / "Korven TD-17.md").write_text(MANUAL)
    (tmp_path / "manuals" / "Tarn ES-8.txt").write_text("The ES-8 switches loops in any order.")
    async with start("serve", "--port", "0", "--manuals", "manuals") as process:
        async with asyncio.timeout(30):
            lines = [(await process.stdout.readline()).decode() for _ in range(4)]
        assert "products  2 (manuals)" in lines[3], (lines, await process.stderr.read())
        yield lines[2].split()[1]
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0


async def test_a_folder_is_searched_and_questioned(manicule, served: str):
    found = await manicule("search", "td17", "--url", served)
    assert (found.code, found.err) == (0, "")
    assert found.out.split()[0] == "korven-td-17"

    done = await manicule("ask", "How do I do a factory reset?", "-p", "td17", "--url", served)
    assert (done.code, done.err) == (0, "")
    assert "hold the KIT and ENTER buttons" in done.out
    assert "[1] p. 1  “" in done.out
    assert "extractive" in done.out.splitlines()[-1]


async def test_events_as_lines(manicule, served: str):
    words = ("-p", "korven-td-17", "--json", "--url", served)
    done = await manicule("ask", "Which adaptor does it need?", *words)
    events = [json.loads(line) for line in done.out.splitlines()]
    kinds = [event["type"] for event in events]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    response = events[-1]["response"]
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert "".join(deltas) == response["output_text"]
    assert "PSB-1U" in response["output_text"]
    citations = [each for each in response["items"] if each["type"] == "citation"]
    assert citations
    assert all(each["verified"] for each in citations)
    words_of_manual = " ".join(MANUAL.split())
    assert all(" ".join(each["cited_text"].split()) in words_of_manual for each in citations)


@pytest.mark.parametrize("scenario", ["general", "studio", "live"])
async def test_every_built_in_scenario_answers(manicule, served: str, scenario: str):
    words = ("-p", "es-8", "--scenario", scenario, "--url", served)
    done = await manicule("ask", "What does it switch?", *words)
    assert done.code == 0, done.err


async def test_refusals_of_a_real_server(manicule, served: str):
    words = ("-p", "es-8", "--url", served)
    done = await manicule("ask", "What?", "--scenario", "busking", *words)
    assert done.code == 1
    assert "scenario_not_found" in done.err
    done = await manicule("ask", "x" * 5000, *words)
    assert done.code == 1
    assert "invalid_event" in done.err
    done = await manicule("ask", "What?", "-p", "qqqq", "--url", served)
    assert done.code == 2

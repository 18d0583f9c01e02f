"""Real servers and real processes, killed: what was judged is stored, each judgement once."""

import asyncio
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import pytest
from told_server import WAIT_S, until

import manicule
from protocol.events import FeedbackAcknowledged, FinalResponse


@dataclass
class Wire:
    """A relay to a server that can lose what the server says, and be led to another server."""

    port: int
    is_deaf: bool = False
    url: str = ""

    async def relay(self, reader, writer) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            writer.close()
            return
        try:
            await asyncio.gather(
                self.copy(reader, far_writer), self.copy(far_reader, writer, is_answer=True)
            )
        finally:
            writer.close()
            far_writer.close()

    async def copy(self, reader, writer, *, is_answer: bool = False) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if not (is_answer and self.is_deaf):
                    writer.write(data)
                    await writer.drain()
        with suppress(OSError):
            writer.close()


@asynccontextmanager
async def wire_to(port):
    wire = Wire(port)
    async with await asyncio.start_server(wire.relay, "127.0.0.1", 0) as listening:
        wire.url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/ws"
        yield wire


async def ask(client) -> FinalResponse:
    answer = client.ask("What is this?", product_id="td-17")
    async for _ in answer:
        pass
    return answer.response


async def rejections(target, response_id) -> list[dict]:
    async with httpx.AsyncClient(base_url=target.url, trust_env=False, timeout=30) as http:
        got = await http.get(f"/api/v1/content/{response_id}/rejections")
        assert got.status_code == 200, got.text
        return got.json()["rejections"]


async def restart(target) -> None:
    await asyncio.to_thread(target.kill)
    await asyncio.to_thread(target.start)


@pytest.mark.parametrize("moment", ["before it is read", "after it is stored"])
async def test_a_server_killed_between_a_judgement_and_its_acknowledgement(
    server, tmp_path, moment
):
    target = await asyncio.to_thread(server)
    async with (
        wire_to(target.port) as wire,
        manicule.connect(wire.url, outbox=tmp_path / "feedback.db", ack_wait_s=WAIT_S) as client,
    ):
        final = await ask(client)
        if moment == "before it is read":
            target.signal(signal.SIGSTOP)
        wire.is_deaf = True
        judging = asyncio.create_task(
            client.reject(final, tags=["factual_error"], comment="“Nº 1” 👍")
        )
        await until(lambda: client.pending == 1)
        if moment == "after it is stored":
            async with asyncio.timeout(WAIT_S):
                stored = []
                while not stored:
                    stored = await rejections(target, final.id)
        await restart(target)
        wire.port, wire.is_deaf = target.port, False
        queued = await judging
        assert isinstance(queued, manicule.Queued)
        assert await client.flush(WAIT_S) == 0
        [stored] = await rejections(target, final.id)
        assert stored["event_id"] == queued.event_id
        assert (stored["comment"], stored["tags"]) == ("“Nº 1” 👍", ["factual_error"])


async def test_a_client_killed_with_judgements_in_its_outbox(server, tmp_path, free_port):
    target = await asyncio.to_thread(server)
    outbox = tmp_path / "feedback.db"
    async with manicule.connect(target.url) as client:
        final = await ask(client)
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).parent / "judging_process.py"),
        f"ws://127.0.0.1:{free_port}", str(outbox),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    child.stdin.write(msgspec.json.encode(final) + b"\n")
    async with asyncio.timeout(WAIT_S):
        queued = [(await child.stdout.readline()).decode().strip() for _ in range(100)]
    child.kill()
    rest = (await child.communicate())[0].decode().splitlines()
    queued += [line for line in rest if len(line) == 36]

    async with manicule.connect(target.url, outbox=outbox) as client:
        assert await client.flush(WAIT_S) == 0
    stored = await rejections(target, final.id)
    ids = [each["event_id"] for each in stored]
    assert len(ids) == len(set(ids))
    # One more may have been written than was told.
    assert sorted(ids)[: len(queued)] == queued
    assert len(ids) - len(queued) in (0, 1)


async def test_a_thousand_judgements_through_two_kills(server, tmp_path):
    target = await asyncio.to_thread(server)
    async with (
        wire_to(target.port) as wire,
        manicule.connect(wire.url, outbox=tmp_path / "feedback.db", ack_wait_s=0.01) as client,
    ):
        final = await ask(client)
        judged = []
        for part in range(4):
            judged += await asyncio.gather(
                *(client.reject(final, comment=f"{part} {n}") for n in range(250))
            )
            if part in (1, 2):
                await restart(target)
                wire.port = target.port
        assert await client.flush(WAIT_S) == 0
    stored = await rejections(target, final.id)
    assert len(stored) == 1000
    assert {each["event_id"] for each in stored} == {each.event_id for each in judged}
    assert {each["comment"] for each in stored} == {
        f"{p} {n}" for p in range(4) for n in range(250)
    }


async def test_a_real_server_takes_a_token_and_a_judgement_of_each_kind(server):
    key = "annotator:0123456789abcdef"
    target = await asyncio.to_thread(server, None, api_keys=key)
    with pytest.raises(manicule.Error, match="unauthorized"):
        async with manicule.connect(target.url, token="wrong-wrong-wrong"):
            pass
    async with manicule.connect(target.url, token="0123456789abcdef", user_id="ann") as client:
        assert [product.id for product in await client.search("td17")] == ["td-17"]
        final = await ask(client)
        done = [
            await client.accept(final),
            await client.reject(final, tags=["factual_error"]),
            await client.modify(final, "Better."),
            await client.rate(final, 4),
            await client.dismiss(final),
        ]
        assert all(isinstance(each, FeedbackAcknowledged) for each in done)
        with pytest.raises(manicule.Error) as caught:
            await client.accept("resp_of_nobody")
        assert caught.value.code == "response_not_found"
        assert client.pending == 0

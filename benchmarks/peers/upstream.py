"""A model's server that costs little: OpenAI's streaming chat completions, each token a write.

It feeds every server of a benchmark and shares a core with what reads them, so what it sends is
made beforehand and one wheel of time slots paces all answers. An answer has no end, unless the
question says "Answer in 20 words". As a program it prints its address:

    python -m benchmarks.peers.upstream --port 0 --rate 50
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from os import write
from typing import cast

import httptools
import uvloop

from benchmarks.streams.mark import TOKEN, TOKENS

SLOT_S = 0.001
"""Between two turns of the wheel: what a token may be late by, unless the core is full."""

MAX_UNSENT_BYTES = 2**22
"""A reader this far behind is cut off: four seconds of a thousand streams fit in no memory."""

_LENGTH = re.compile(rb"Answer in (\d+) words")
ENDLESS = 2**60

_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)


def _event(text: bytes) -> bytes:
    data = b"data: " + text + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def _choice(delta: dict[str, str], finish: str | None = None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _chunk(*choices: dict[str, object], **rest: object) -> bytes:
    chunk = {
        "id": "chatcmpl-C5jXq8Lw3Gk2ZpTn7VdYbRmHs1aQe",
        "object": "chat.completion.chunk",
        "created": 1_760_000_000,
        "model": "m",
        "service_tier": "default",
        "system_fingerprint": "fp_44709d6fcb",
        "choices": choices,
        **rest,
    }
    return _event(json.dumps(chunk, separators=(",", ":")).encode())


ROLE = _chunk(_choice({"role": "assistant", "content": ""}))
TOKEN_CHUNKS = tuple(_chunk(_choice({"content": text})) for text in TOKENS)
STOP = _chunk(_choice({}, "stop"))
DONE = _event(b"[DONE]") + b"0\r\n\r\n"


def _usage(tokens: int) -> bytes:
    counts = {"prompt_tokens": 100, "completion_tokens": tokens, "total_tokens": 100 + tokens}
    return _chunk(usage=counts)


class Wheel:
    """Has what is in a slot say a token once a period, at the same place of every period.

    With `even`, a new entry goes where the fewest are, so that no two are due at once if it can be
    helped; otherwise to the slot of the moment, so that it is due a whole period from now.
    """

    def __init__(self, rate_per_s: float, *, even: bool) -> None:
        self._slots: list[dict[Answer, None]] = [
            {} for _ in range(max(1, round(1 / rate_per_s / SLOT_S)))
        ]
        self._slot_s = 1 / rate_per_s / len(self._slots)
        self._even = even
        self._turn = 0
        self._started = time.monotonic()

    def add(self, answer: Answer) -> None:
        """Have `answer.say` called from its next turn on."""
        if self._even:
            slot = min(self._slots, key=len)
        else:
            slot = self._slots[(self._turn - 1) % len(self._slots)]
        slot[answer] = None
        answer.slot = slot

    async def run(self) -> None:
        """Turn for ever."""
        while True:
            now = time.monotonic()
            while self._started + self._turn * self._slot_s <= now:
                period, place = divmod(self._turn, len(self._slots))
                chunk = TOKEN_CHUNKS[period % len(TOKEN_CHUNKS)]
                self._turn += 1
                for answer in tuple(self._slots[place]):
                    answer.say(chunk)
            await asyncio.sleep(self._started + self._turn * self._slot_s - time.monotonic())


class Answer(asyncio.Protocol):
    """One connection, which has one answer at a time."""

    def __init__(self, wheel: Wheel) -> None:
        self._wheel = wheel
        self._left = 0
        self._has_unsent = False
        self._body = b""
        self.slot: dict[Answer, None] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to read requests."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._file = transport.get_extra_info("socket").fileno()
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._body = b""

    def on_body(self, body: bytes) -> None:
        """Note the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer."""
        if self._parser.get_method() == b"GET":
            self._send_json({"object": "list", "data": [{"id": "m", "object": "model"}]})
            return
        question = json.loads(self._body)
        if not question.get("stream"):
            message = {"role": "assistant", "content": TOKEN}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            whole = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
            self._send_json({**whole, "choices": [choice], "usage": usage})
            return
        length = _LENGTH.search(self._body)
        self._left = int(length[1]) if length else ENDLESS
        wants_usage = (question.get("stream_options") or {}).get("include_usage")
        self._end = STOP + (_usage(self._left) if wants_usage else b"") + DONE
        self._transport.write(_HEAD + ROLE)
        self._has_unsent = True
        self._wheel.add(self)
        self.say(TOKEN_CHUNKS[-1])

    def _send_json(self, value: object) -> None:
        body = json.dumps(value).encode()
        head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
        self._transport.write(f"{head}{len(body)}\r\n\r\n".encode() + body)

    def say(self, chunk: bytes) -> None:
        """Write the next token, and after the last one the end."""
        if self._has_unsent:
            self._write_behind(chunk)
        else:
            self._write(chunk)
        self._left -= 1
        if not self._left:
            self.slot.pop(self, None)
            self._transport.write(self._end)

    def _write(self, chunk: bytes) -> None:
        # Straight to the socket: a transport's own bookkeeping costs as much as the call itself.
        try:
            sent = write(self._file, chunk)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._transport.abort()
            return
        if sent < len(chunk):
            self._transport.write(chunk[sent:])
            self._has_unsent = True

    def _write_behind(self, chunk: bytes) -> None:
        """Write after what the transport has not got rid of yet, if there still is any."""
        unsent = self._transport.get_write_buffer_size()
        if not unsent:
            self._has_unsent = False
            self._write(chunk)
            return
        self._transport.write(chunk)
        if unsent > MAX_UNSENT_BYTES:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Leave the wheel."""
        self.slot.pop(self, None)
        self._left = -1


async def _serve(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    wheel = Wheel(options.rate, even=options.even)
    server = await loop.create_server(
        lambda: Answer(wheel), "127.0.0.1", options.port, backlog=2048
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await wheel.run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rate", type=float, default=50.0, help="tokens a second of one answer")
    parser.add_argument("--even", action="store_true", help="spread answers over the period")
    uvloop.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()

"""A client that does not give up: it asks, comes back after every loss, and resumes where it was.

It takes nothing on trust: events of an answer must come without gaps, once each, and end once.
"""

from __future__ import annotations

import asyncio
import json
import time

from rig import TERMINAL
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

BOUND_S = 90.0
PAUSE_S = 0.1
RETRIED = {"draining", "overloaded", "too_many_responses", "rate_limited"}


class LastingClient:
    """One question through the door of a fleet, whatever happens to its nodes."""

    def __init__(self, url: str, text: str, product_id: str, name: str) -> None:
        self._url = url.replace("http", "ws", 1) + "/ws"
        self._question = {"type": "response.create", "input": text, "product_id": product_id}
        self._name = name
        self.response_id: str | None = None
        self.epoch, self.number = 1, -1
        self.text = ""
        self.final: dict | None = None
        self.losses = 0
        self.resets = 0
        self.resume_s: list[float] = []
        self.errors: list[str] = []
        self.acked: str | None = None

    async def run(self) -> LastingClient:
        """Ask until there is one whole answer."""
        async with asyncio.timeout(BOUND_S):
            while self.final is None:
                try:
                    async with connect(
                        self._url, subprotocols=["manicule.v1"], proxy=None, open_timeout=10
                    ) as socket:
                        await self._listen(socket)
                except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError):
                    self.losses += 1
                    await asyncio.sleep(PAUSE_S)
        return self

    async def judge(self, event_id: str) -> None:
        """Judge the answer until the judgement is acknowledged."""
        event = {
            "type": "feedback.create",
            "event_id": event_id,
            "response_id": self.response_id,
            "action": "accept",
            "receipt": self.final["receipt"],
        }
        async with asyncio.timeout(BOUND_S):
            while self.acked is None:
                try:
                    async with connect(
                        self._url, subprotocols=["manicule.v1"], proxy=None, open_timeout=10
                    ) as socket:
                        await socket.send(json.dumps(event))
                        while self.acked is None:
                            told = json.loads(await socket.recv())
                            if told["type"] == "feedback.acknowledged":
                                self.acked = told["level"]
                            elif told["type"] == "error":
                                assert told["error"]["retryable"], told
                                break
                except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError):
                    pass
                await asyncio.sleep(0 if self.acked else PAUSE_S)

    async def _listen(self, socket) -> None:
        began = time.monotonic()
        assert json.loads(await socket.recv())["type"] == "session.created"
        await socket.send(json.dumps(self._asking()))
        while self.final is None:
            event = json.loads(await socket.recv())
            if event["type"] == "error":
                self.errors.append(event["error"]["code"])
                if event["error"].get("param") == "starting_after":
                    self.epoch, self.number, self.text = 1, -1, ""  # what it sent was not logged
                    return
                assert event["error"]["code"] in RETRIED, event
                await asyncio.sleep(PAUSE_S)
                return
            if event["type"] == "response.resumed":
                self.resume_s.append(time.monotonic() - began)
                if not event["recovered"]:
                    assert event.get("response"), event
                    self.final, self.text = event["response"], event["response"]["output_text"]
            elif "sequence_number" in event:
                self._take(event)

    def _asking(self) -> dict:
        if self.response_id is None:
            return {**self._question, "event_id": self._name}
        position = {"epoch": self.epoch, "starting_after": self.number}
        return {"type": "response.resume", "response_id": self.response_id, **position}

    def _take(self, event: dict) -> None:
        if event["type"] == "response.created":
            assert self.response_id in (None, event["response_id"])
            self.response_id = event["response_id"]
        assert event["response_id"] == self.response_id
        if event["epoch"] > self.epoch:
            self.epoch, self.number = event["epoch"], -1
        assert (event["epoch"], event["sequence_number"]) == (self.epoch, self.number + 1)
        self.number += 1
        if event["type"] == "response.reset":
            self.text = ""
            self.resets += 1
        elif event["type"] == "response.output_text.delta":
            self.text += event["delta"]
        elif event["type"] in TERMINAL:
            self.final = event["response"]

"""What is measured: how each server is started, and how it is asked."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmarks.harness import ROOT, SUBPROTOCOL
from benchmarks.streams.mark import TOKEN
from benchmarks.streams.stream import (
    END_OF_BODY,
    HttpStream,
    Progress,
    Stream,
    WebSocketStream,
    handshake,
    post,
    text_frame,
)

PEERS = ROOT / ".tools" / "peers"
CONFIGS = ROOT / "benchmarks" / "peers"
RATE_PER_S = 50.0
PRODUCT = "orrinfeld-od-12"
QUESTION = "How do I update the firmware?"
_numbers = itertools.count()

Group = Literal["made in the process", "from an HTTP upstream"]
MADE: Group = "made in the process"
PASSED_ON: Group = "from an HTTP upstream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A server. In `command`, `env`, `headers` and `config` {port}, {upstream}, the {folder} that
    is its own and {config}, its configuration file there, are put in.

    `needs` is the file without which it is not installed. `spins` says that its loop never rests,
    so that its processor time tells nothing. `first` is how many streams to begin with.
    `unavailable` is why there can be no figure.
    """

    name: str
    group: Group
    command: tuple[str, ...] = ()
    path: str = "/"
    env: Mapping[str, str] = field(default_factory=dict)
    config: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_manicule: bool = False
    is_websocket: bool = True
    names_model: bool = True
    baseline: bool = False
    spins: bool = False
    first: int = 20
    start_s: float = 30.0
    needs: Path | None = None
    unavailable: str = ""
    note: str = ""

    @property
    def missing(self) -> str:
        """Why it cannot be measured here, empty when it can."""
        if self.unavailable:
            return self.unavailable
        if self.needs is not None and not self.needs.exists():
            return "not installed: make bench-peers-install"
        return ""

    def filled(self, port: int, upstream: str, folder: Path) -> tuple[list[str], dict[str, str]]:
        """Return the command and the variables; writes the configuration file."""
        config = folder / (self.config.name if self.config else "")

        def fill(text: str) -> str:
            text = text.replace("{port}", str(port)).replace("{upstream}", upstream)
            return text.replace("{folder}", str(folder)).replace("{config}", str(config))

        if self.config is not None:
            config.write_text(fill(self.config.read_text()))
        return list(map(fill, self.command)), {k: fill(v) for k, v in self.env.items()}

    def question(self, words: int) -> bytes:
        """Return a question that was not asked before: equal ones share an answer."""
        length = f"Answer in {words} words. " if words else ""
        text = f"{QUESTION} {length}({next(_numbers)})"
        question: dict[str, object]
        if self.is_manicule:
            question = {"type": "response.create", "product_id": PRODUCT, "input": text}
        elif self.is_websocket:
            question = {"input": text}
        else:
            messages = [{"role": "user", "content": text}]
            question = {"stream": True, "messages": messages}
            if self.names_model:
                question["model"] = "m"
        return json.dumps(question).encode()

    def request(self, port: int, upstream: str, words: int) -> bytes:
        """Return the bytes that ask on an open connection."""
        if self.is_websocket:
            return text_frame(self.question(words))
        headers = {k: v.replace("{upstream}", upstream) for k, v in self.headers.items()}
        return post(f"127.0.0.1:{port}", self.path, self.question(words), headers)

    def stream(self, progress: Progress, port: int, upstream: str, words: int) -> Stream:
        """Return a stream that asks once it is connected; with `words` it looks for the end."""
        if not self.is_websocket:
            end = END_OF_BODY if words else b""
            return HttpStream(progress, self.request(port, upstream, words), end)
        opening = handshake(f"127.0.0.1:{port}", self.path, SUBPROTOCOL if self.is_manicule else "")
        end = b'"response.completed"' if words else b""
        return WebSocketStream(progress, opening, self.question(words), end)


def _sender(name: str, module: str, *options: str, **more: object) -> Candidate:
    command = (sys.executable, "-m", f"benchmarks.peers.{module}", "--port", "{port}", *options)
    return Candidate(name=name, group=MADE, command=command, **more)  # type: ignore[arg-type]


_WIDE = {
    "MAX_CONNECTIONS": "1000000",
    "CONNECTIONS_PER_ADDRESS": "1000000",
    "HANDSHAKES_PER_MINUTE": "1000000",
    "REQUESTS_PER_MINUTE": "1000000",
    "USER_REQUESTS_PER_MINUTE": "0",
    "MAX_RUNNING_ANSWERS": "1000000",
    "MAX_RESPONSES_PER_CLIENT": "1000000",
    "MODEL_CONCURRENCY": "1000000",
    "MAX_OUTPUT_TOKENS": "65536",
    "ANSWER_TIMEOUT_S": "3600",
    "DETACHED_S": "0",
}
"""One address asks everything, and answers do not end."""


def _manicule(name: str, group: Group, model: str, **settings: str) -> Candidate:
    env = {f"MANICULE_{key}": value for key, value in (_WIDE | settings).items()}
    return Candidate(
        name=name,
        group=group,
        command=(
            *(sys.executable, "-m", "server", "serve", "--port", "{port}"),
            *("--model", model, "--data-dir", "{folder}"),
        ),
        env=env,
        path="/ws",
        is_manicule=True,
    )


_FEED = {"OPENAI_BASE_URL": "{upstream}/v1"}
_SCRIPT = json.dumps([{"tokens": 10**9, "rate_per_s": RATE_PER_S, "word": TOKEN}])
_BIN = {name: PEERS / name / "bin" for name in ("litellm", "mlflow", "sglang-router", "lm-proxy")}
_PORTKEY = PEERS / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"

DIRECT = Candidate(
    name="the upstream itself",
    group=PASSED_ON,
    path="/v1/chat/completions",
    is_websocket=False,
    baseline=True,
)

BARE = (
    _sender("Starlette on uvicorn", "starlette_sender", baseline=True),
    _sender("aiohttp", "aiohttp_sender"),
    _sender("picows", "picows_sender"),
    _sender("socketify (uWebSockets)", "socketify_sender", spins=True),
)

OURS_MADE = (
    _manicule("manicule", MADE, f"scripted:{_SCRIPT}"),
    _manicule("manicule, a frame a token", MADE, f"scripted:{_SCRIPT}", FRAME_INTERVAL_MS="0"),
)

OURS_PASSED_ON = (
    _manicule("manicule", PASSED_ON, "openai:m", **_FEED),
    _manicule("manicule, a frame a token", PASSED_ON, "openai:m", FRAME_INTERVAL_MS="0", **_FEED),
)

PROXIES = (
    Candidate(
        name="LiteLLM proxy",
        group=PASSED_ON,
        command=(
            str(_BIN["litellm"] / "litellm"),
            *("--config", "{config}", "--host", "127.0.0.1"),
            *("--port", "{port}", "--telemetry", "False"),
        ),
        env={
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "ERROR",
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        },
        config=CONFIGS / "litellm.yaml",
        path="/v1/chat/completions",
        is_websocket=False,
        first=4,
        baseline=True,
        start_s=90.0,
        needs=_BIN["litellm"] / "litellm",
    ),
    Candidate(
        name="Portkey gateway",
        group=PASSED_ON,
        command=("node", str(_PORTKEY), "--port={port}", "--headless"),
        env={"NODE_ENV": "production"},
        headers={
            "Authorization": "Bearer none",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": "{upstream}/v1",
        },
        path="/v1/chat/completions",
        is_websocket=False,
        needs=_PORTKEY,
    ),
    Candidate(
        name="MLflow AI gateway",
        group=PASSED_ON,
        command=(
            str(_BIN["mlflow"] / "mlflow"),
            *("gateway", "start", "--config-path", "{config}", "--host", "127.0.0.1"),
            *("--port", "{port}", "--workers", "1"),
        ),
        config=CONFIGS / "mlflow.yaml",
        path="/gateway/m/invocations",
        is_websocket=False,
        first=4,
        names_model=False,
        start_s=90.0,
        needs=_BIN["mlflow"] / "mlflow",
    ),
    Candidate(
        name="LM-Proxy",
        group=PASSED_ON,
        command=(str(_BIN["lm-proxy"] / "lm-proxy"), "--config", "{config}"),
        config=CONFIGS / "lm_proxy.toml",
        headers={"Authorization": "Bearer none"},
        path="/v1/chat/completions",
        is_websocket=False,
        first=4,
        start_s=60.0,
        needs=_BIN["lm-proxy"] / "lm-proxy",
    ),
    Candidate(
        name="SGLang router",
        group=PASSED_ON,
        command=(
            str(_BIN["sglang-router"] / "sglang-router"),
            *("launch", "--host", "127.0.0.1", "--port", "{port}", "--worker-urls", "{upstream}"),
        ),
        path="/v1/chat/completions",
        is_websocket=False,
        needs=_BIN["sglang-router"] / "sglang-router",
        note="a load balancer in Rust, which passes bytes on unread",
    ),
    Candidate(
        name="TensorZero gateway",
        group=PASSED_ON,
        unavailable="the package index has its client only; the gateway is a container image",
    ),
    Candidate(
        name="Bifrost",
        group=PASSED_ON,
        unavailable="its package has no program in it: it loads one from elsewhere when started",
    ),
)


def installed() -> str:
    """Return a sentence with what of the peers is installed, in which versions."""
    found = sorted(path.read_text().strip() for path in PEERS.glob("*/installed"))
    return f"Peers: {', '.join(found) or 'none is installed'}."

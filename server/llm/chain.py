"""From the words of the `model` setting to a chain of models."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from server.llm.attempts import Attempt, ChainEvent, Ended, Reset
from server.llm.choosing import WithheldCallback
from server.llm.deployments import StateCallback
from server.llm.extractive import Extractive
from server.llm.failover import Chain, ErrorCallback
from server.llm.pacing import TimingWheel
from server.llm.port import MissingExtraError, Model
from server.llm.script import BUILT_IN, ScriptError, load_script, parse_script
from server.llm.scripted import Scripted

if TYPE_CHECKING:
    import httpx

__all__ = [
    "Attempt",
    "Chain",
    "ChainError",
    "ChainEvent",
    "Ended",
    "Reset",
    "build_chain",
    "split_spec",
]

PROVIDERS = ("gemini", "openai", "gemini-sdk", "extractive", "scripted")
EXAMPLES = {
    "gemini": "gemini:gemini-2.5-flash",
    "openai": "openai:gpt-4.1-mini",
    "gemini-sdk": "gemini-sdk:gemini-2.5-flash",
}
GEMINI_BASE_URL = "https://generativelanguage.googleapis.com"
OPENAI_BASE_URL = "https://api.openai.com/v1"

_ADDRESS = re.compile(r"@(https?://\S*)$")
_CREDENTIALS = re.compile(r"//[^/\s]*@")
_INLINE_SCRIPT = re.compile(r"\s*scripted:\s*(?=\[)")


class ChainError(ValueError):
    """The chain cannot be built; the message names the part and what to do."""


def split_spec(spec: str) -> list[str]:
    """The parts of a chain, in order. Commas inside an inline script do not part.

    Raises `ChainError` for empty parts and for a script that is not JSON.
    """
    parts: list[str] = []
    start = 0
    while start <= len(spec):
        inline = _INLINE_SCRIPT.match(spec, start)
        end = _script_end(spec, inline.end(), len(parts) + 1) if inline else start
        comma = spec.find(",", end)
        comma = len(spec) if comma < 0 else comma
        part = spec[start:comma].strip()
        if not part:
            raise ChainError(f"part {len(parts) + 1} of the model chain {spec!r} is empty")
        parts.append(part)
        start = comma + 1
    return parts


def _script_end(spec: str, start: int, number: int) -> int:
    try:
        return json.JSONDecoder().raw_decode(spec, start)[1]
    except ValueError as error:
        raise ChainError(f"part {number} of the model chain: not JSON: {error}") from error


def build_chain(
    spec: str,
    *,
    gemini_api_key: str = "",
    gemini_base_url: str = GEMINI_BASE_URL,
    openai_api_key: str = "",
    openai_base_url: str = OPENAI_BASE_URL,
    model_keys: Mapping[str, str] | None = None,
    first_token_timeout_s: float = 8.0,
    inter_token_timeout_s: float = 5.0,
    answer_timeout_s: float = 60.0,
    hedge_floor_s: float = 0.0,
    on_error: ErrorCallback = lambda model, kind: None,
    on_state: StateCallback = lambda model, state: None,
    on_withheld: WithheldCallback = lambda model, why: None,
    on_malformed: Callable[[str], None] = lambda model: None,
    client: httpx.AsyncClient | None = None,
    pace: TimingWheel | None = None,
) -> Chain:
    """Build the chain that `spec` describes, such as `gemini:gemini-2.5-flash,extractive`.

    A part may name its server, `openai:NAME@https://host/v1`; `model_keys` has the keys of such
    servers by host, with the port if the address has one. The provider's own key is never sent
    there. `on_malformed(model)` is called for each event of a provider that had to be skipped,
    the other callbacks are those of `Chain`. `client` replaces the HTTP clients and stays the
    caller's to close. `pace` says when models look for more text. Raises `ChainError`.
    """
    builder = _Builder(
        gemini_api_key=gemini_api_key,
        gemini_base_url=gemini_base_url,
        openai_api_key=openai_api_key,
        openai_base_url=openai_base_url,
        model_keys=model_keys or {},
        first_token_timeout_s=first_token_timeout_s,
        inter_token_timeout_s=inter_token_timeout_s,
        on_malformed=on_malformed,
        client=client,
        pace=pace,
    )
    models: list[Model] = []
    for number, part in enumerate(split_spec(spec), 1):
        try:
            models.append(builder.build(part))
        except (MissingExtraError, ScriptError, ValueError) as error:
            message = f"part {number} of the model chain ({_shown(part)}): {error}"
            raise ChainError(message) from error
    return Chain(
        models,
        answer_timeout_s=answer_timeout_s,
        hedge_floor_s=hedge_floor_s,
        on_error=on_error,
        on_state=on_state,
        on_withheld=on_withheld,
    )


def _shown(part: str) -> str:
    part = _CREDENTIALS.sub("//***@", part)
    return part if len(part) <= 60 else part[:57] + "..."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Builder:
    gemini_api_key: str
    gemini_base_url: str
    openai_api_key: str
    openai_base_url: str
    model_keys: Mapping[str, str]
    first_token_timeout_s: float
    inter_token_timeout_s: float
    on_malformed: Callable[[str], None]
    client: httpx.AsyncClient | None
    pace: TimingWheel | None

    def build(self, part: str) -> Model:
        provider, colon, name = part.partition(":")
        if provider not in PROVIDERS:
            near = get_close_matches(provider, PROVIDERS, 1)
            meant = f"did you mean {near[0]}?" if near else f"use one of {', '.join(PROVIDERS)}"
            raise ValueError(f"there is no provider {provider!r}; {meant}")
        if provider == "extractive":
            if colon:
                raise ValueError("extractive takes no name; write extractive")
            return Extractive()
        if provider == "scripted":
            return self._scripted(name.strip())
        if not name:
            raise ValueError(f"name the model too, such as {EXAMPLES[provider]}")
        name, url = split_address(name)
        if provider == "openai":
            return self._openai(name, url)
        return self._gemini(provider, name, url)

    def _key_of(self, url: str) -> str:
        return self.model_keys.get(urlsplit(url).netloc.lower(), "")

    def _scripted(self, source: str) -> Model:
        steps = BUILT_IN
        if source.startswith("["):
            steps = parse_script(source)
        elif source:
            steps = load_script(Path(source))
        return Scripted(
            steps,
            first_token_timeout_s=self.first_token_timeout_s,
            inter_token_timeout_s=self.inter_token_timeout_s,
            pace=self.pace,
        )

    def _openai(self, name: str, url: str) -> Model:
        key = self._key_of(url) if url else self.openai_api_key
        url = url or self.openai_base_url
        if not key and url.rstrip("/") == OPENAI_BASE_URL:
            raise ValueError(
                "set MANICULE_OPENAI_API_KEY, or MANICULE_OPENAI_BASE_URL for a server without keys"
            )
        # The clients take 0.1 s and 7 MiB, which a chain without providers does not spend.
        from server.llm.openai import OpenAI

        return OpenAI(
            name,
            api_key=key,
            base_url=url,
            first_token_timeout_s=self.first_token_timeout_s,
            inter_token_timeout_s=self.inter_token_timeout_s,
            on_malformed=self.on_malformed,
            client=self.client,
            pace=self.pace,
        )

    def _gemini(self, provider: str, name: str, url: str) -> Model:
        key = self._key_of(url) if url else self.gemini_api_key
        url = url or self.gemini_base_url
        if not key:
            host = urlsplit(url).netloc
            raise ValueError(
                "set MANICULE_GEMINI_API_KEY to a key of the Gemini API, or for an address of its "
                f"own MANICULE_MODEL_KEYS={host}=KEY"
            )
        if provider == "gemini-sdk":
            from server.llm.gemini_sdk import GeminiSdk

            return GeminiSdk(
                name,
                api_key=key,
                base_url=url,
                first_token_timeout_s=self.first_token_timeout_s,
                inter_token_timeout_s=self.inter_token_timeout_s,
            )
        from server.llm.gemini import Gemini  # see `_openai`

        return Gemini(
            name,
            api_key=key,
            base_url=url,
            first_token_timeout_s=self.first_token_timeout_s,
            inter_token_timeout_s=self.inter_token_timeout_s,
            on_malformed=self.on_malformed,
            client=self.client,
            pace=self.pace,
        )


def split_address(name: str) -> tuple[str, str]:
    """Split `NAME@https://host/v1` into the name and the address; without one that is empty.

    Raises `ValueError` for an address with user, password or spaces.
    """
    found = _ADDRESS.search(name)
    if found is None:
        return name, ""
    name, url = name[: found.start()], found[1]
    if not name or "@" in url or not urlsplit(url).netloc:
        raise ValueError("write NAME@https://host/path, without user or password")
    return name, url

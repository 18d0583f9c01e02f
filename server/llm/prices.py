"""What a call costs, from the provider's token counts and a table of list prices."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from server.llm.port import Usage

BUILT_IN = Path(__file__).with_name("prices.toml")

FREE_PROVIDERS = frozenset({"extractive", "scripted"})
"""They run in this process and are billed by nobody."""

_SAME_PRICES = {"gemini-sdk": "gemini"}
_VERSION = re.compile(r"(?:[-@:](?:\d+|latest|preview|exp|stable))*")


class PriceTableError(ValueError):
    """A price table cannot be used; the message names the file and the entry."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens; `cached` for input that the provider had in its cache."""

    input: float
    cached: float
    output: float


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices by provider and model name. Made by `load_prices`."""

    table: dict[str, dict[str, Price]]

    def cost_usd(self, model: str, usage: Usage) -> float | None:
        """What `usage` of `model` (such as `gemini:gemini-2.5-flash`) costs; None when unknown.

        The entry counts that is the longest prefix of the name with nothing but version words
        after it: numbers, `latest`, `preview`, `exp`, `stable`. Estimated usage gives an
        estimated cost.
        """
        provider, _, name = model.partition(":")
        if provider in FREE_PROVIDERS:
            return 0.0
        price = self._price(_SAME_PRICES.get(provider, provider), name.rpartition("/")[2])
        if price is None:
            return None
        cached = min(usage.cached_tokens, usage.input_tokens)
        dollars = (usage.input_tokens - cached) * price.input + cached * price.cached
        return (dollars + usage.output_tokens * price.output) / 1e6

    def _price(self, provider: str, name: str) -> Price | None:
        entries = self.table.get(provider, {})
        fitting = [
            key
            for key in entries
            if name.startswith(key) and _VERSION.fullmatch(name, len(key)) is not None
        ]
        return entries[max(fitting, key=len)] if fitting else None


def load_prices(override: Path | None = None) -> Prices:
    """The built-in table with the entries of `override` put over it. Raises `PriceTableError`."""
    table = _read(BUILT_IN)
    if override is not None:
        for provider, entries in _read(override).items():
            table.setdefault(provider, {}).update(entries)
    return Prices(table)


def _read(path: Path) -> dict[str, dict[str, Price]]:
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise PriceTableError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise PriceTableError(f"{path}: not TOML: {error}") from error
    table: dict[str, dict[str, Price]] = {}
    for provider, entries in document.items():
        if not isinstance(entries, dict):
            raise PriceTableError(f"{path}: {provider} must be a table of models")
        table[provider] = {
            name: _price(f"{path}: [{provider}] {name!r}", entry) for name, entry in entries.items()
        }
    return table


def _price(where: str, entry: object) -> Price:
    names = ("input", "cached", "output")
    if not isinstance(entry, dict) or not {"input", "output"} <= entry.keys() <= set(names):
        raise PriceTableError(f"{where} must have input and output, and may have cached")
    prices: dict[str, float] = {}
    for name, value in entry.items():
        good = isinstance(value, int | float) and not isinstance(value, bool)
        if not good or not math.isfinite(value) or value < 0:
            raise PriceTableError(f"{where}: {name} must be a number, 0 or more")
        prices[name] = float(value)
    return Price(prices["input"], prices.get("cached", prices["input"]), prices["output"])

"""The prompts: versioned text files, found by name and scenario, newest version first.

A prompt is `<name>/<scenario>/<version>.txt`: a front part of `name`, `scenario` and `version`, a
line `---`, then the text with the slots `{{facts}}`, `{{language}}` and `{{boundary}}`. Released
files are never edited: a change is a new version. A folder of the operator's own has the same form
and adds scenarios and newer versions; a file `ACTIVE` beside the versions names the one in use.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BUILT_IN: Final = Path(__file__).parent
SLOTS: Final = ("facts", "language", "boundary")
MAX_PROMPT_BYTES: Final = 65_536
"""A longer prompt would cost more than the manual it introduces. It is refused."""

_PART: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_VERSION: Final = re.compile(r"[1-9][0-9]{0,5}")
_SLOT: Final = re.compile(r"\{\{(.*?)\}\}")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8}){0,5}")
_FIRST_SCENARIOS: Final = ("general", "studio", "live")


class PromptError(Exception):
    """A prompt folder cannot be used. `problems` holds one line each: file and remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One version of one prompt. `sha256` is that of the file's bytes, in hex."""

    name: str
    scenario: str
    version: str
    text: str
    sha256: str


class PromptLibrary:
    """All prompts that were loaded; each name and scenario has one active version."""

    def __init__(self, prompts: tuple[Prompt, ...], pinned: Mapping[tuple[str, str], str]) -> None:
        self._prompts = {(each.name, each.scenario, each.version): each for each in prompts}
        self._active: dict[tuple[str, str], Prompt] = {}
        for prompt in sorted(prompts, key=lambda each: int(each.version)):
            self._active[prompt.name, prompt.scenario] = prompt
        for (name, scenario), version in pinned.items():
            self._active[name, scenario] = self._prompts[name, scenario, version]

    @property
    def scenarios(self) -> tuple[str, ...]:
        """The scenarios that questions may name; the built-in ones first."""
        found = sorted(scenario for name, scenario in self._active if name == "answer")
        first = [scenario for scenario in _FIRST_SCENARIOS if scenario in found]
        return (*first, *(scenario for scenario in found if scenario not in first))

    def get(self, name: str, scenario: str, version: str | None = None) -> Prompt | None:
        """Return the active prompt, or the one of that version; None when there is none."""
        if version is None:
            return self._active.get((name, scenario))
        return self._prompts.get((name, scenario, version))

    def versions(self, name: str, scenario: str) -> tuple[Prompt, ...]:
        """Return all versions, the oldest first."""
        found = [p for p in self._prompts.values() if (p.name, p.scenario) == (name, scenario)]
        return tuple(sorted(found, key=lambda each: int(each.version)))


def load_prompts(extra: Path | None = None) -> PromptLibrary:
    """Load the built-in prompts and those of the folder `extra`.

    Raises `PromptError` with every problem found: a wrong form, a missing slot, a version that is
    there already with another text, an `ACTIVE` that names no version.
    """
    problems: list[str] = []
    prompts: dict[tuple[str, str, str], Prompt] = {}
    pins: dict[tuple[str, str], tuple[str, Path]] = {}
    if extra is not None and not extra.is_dir():
        raise PromptError([f"{extra}: is not a folder. Give the folder that holds answer/."])
    for folder in (BUILT_IN, extra) if extra else (BUILT_IN,):
        for path in sorted(folder.glob("*/*/*.txt")):
            try:
                prompt = read_prompt(path)
            except ValueError as error:
                problems.append(f"{path}: {error}")
                continue
            key = (prompt.name, prompt.scenario, prompt.version)
            if key in prompts and prompts[key].sha256 != prompt.sha256:
                problems.append(f"{path}: version {prompt.version} is taken. Use the next number.")
            prompts.setdefault(key, prompt)
        for name, scenario, version, path in _pins(folder):
            pins[name, scenario] = (version, path)
    for (name, scenario), (version, path) in pins.items():
        if (name, scenario, version) not in prompts:
            problems.append(f"{path}: no version {version[:20]!r}. Name one that is there.")
    if problems:
        raise PromptError(problems)
    pinned = {key: version for key, (version, _) in pins.items()}
    return PromptLibrary(tuple(prompts.values()), pinned)


def _pins(folder: Path) -> Iterator[tuple[str, str, str, Path]]:
    for path in sorted(folder.glob("*/*/ACTIVE")):
        version = path.read_text("utf-8", errors="replace").strip()
        yield path.parent.parent.name, path.parent.name, version, path


def read_prompt(path: Path) -> Prompt:
    """Read one file; `ValueError` says what is wrong with it and what to do."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_PROMPT_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}). Check its permissions.") from error
    if len(data) > MAX_PROMPT_BYTES:
        raise ValueError(f"is over {MAX_PROMPT_BYTES} bytes. Shorten it.")
    try:
        content = data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text. Save it as UTF-8.") from None
    front, line, text = content.partition("\n---\n")
    name, scenario, version = path.parent.parent.name, path.parent.name, path.stem
    if not _PART.fullmatch(name) or not _PART.fullmatch(scenario):
        raise ValueError("folder names are 1 to 32 of a-z 0-9 _ - here. Rename the folder.")
    if not _VERSION.fullmatch(version):
        raise ValueError("a version is a whole number from 1. Rename the file, such as 2.txt.")
    expected = f"name: {name}\nscenario: {scenario}\nversion: {version}"
    if not line or front.strip() != expected:
        raise ValueError(f"must begin with {expected!r} and a line ---. Correct the front part.")
    _check_slots(text)
    return Prompt(name, scenario, version, text.strip(), hashlib.sha256(data).hexdigest())


def _check_slots(text: str) -> None:
    found = _SLOT.findall(text)
    if unknown := [slot for slot in found if slot not in SLOTS]:
        raise ValueError(f"unknown slot {{{{{unknown[0][:40]}}}}}. Use {', '.join(SLOTS)}.")
    if missing := [slot for slot in SLOTS if slot not in found]:
        raise ValueError(f"the slot {{{{{missing[0]}}}}} is missing. Put it into the text.")


def compose(prompt: Prompt, *, facts: str, language: str, boundary: str) -> str:
    """Return the system text: the prompt with its slots filled, once each, never again inside.

    `facts` are the catalog's lines about the product, `language` a BCP 47 tag (anything else
    counts as none), `boundary` the mark around the manual part. Manual and question are no part
    of it: they are sent in parts of their own. The built-in prompts have their slots at the end, so
    that providers can cache all that comes before.
    """
    tag = language if _LANGUAGE.fullmatch(language) else "none given"
    lines = [" ".join(line.split()) for line in facts.replace(boundary, "").splitlines()]
    shown = "\n".join(f"- {line}" for line in lines if line)
    values = {"facts": shown or "- none", "language": tag, "boundary": boundary}
    return _SLOT.sub(lambda slot: values[slot[1]], prompt.text)


def diff(old: Prompt, new: Prompt) -> str:
    """Return what changed between two prompts as a unified diff; empty when nothing did."""
    before, after = (f"{each.name}/{each.scenario}/{each.version}" for each in (old, new))
    lines = difflib.unified_diff(
        old.text.splitlines(), new.text.splitlines(), before, after, lineterm="", n=2
    )
    return "\n".join(lines)

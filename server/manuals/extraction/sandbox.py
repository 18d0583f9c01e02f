"""Shuts a process in for good: limits, no network, no writing, no other programs.

Two walls against code that a hostile manual might run: an audit hook that Python itself obeys,
and on Linux (x86_64, aarch64) a seccomp filter that the kernel holds against native code too.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from server.manuals.extraction import seccomp

MAX_OPEN_FILES: Final = 32
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FORBIDDEN: Final = (
    *("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork"),
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"),
    *("os.chmod", "os.chown", "os.kill", "os.putenv", "shutil.", "tempfile.", "ftplib.", "urllib."),
    *("pty.", "webbrowser.", "os.startfile", "resource.setrlimit"),
)


def limit(*, cpu_s: int, memory_bytes: int) -> None:
    """Set the limits of this process; `cpu_s` counts from now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = int(used.ru_utime + used.ru_stime) + cpu_s
    limits: Mapping[str, tuple[int, int]] = {
        "RLIMIT_CPU": (cpu, cpu + 1),
        "RLIMIT_AS": (memory_bytes, memory_bytes),
        "RLIMIT_FSIZE": (0, 0),
        "RLIMIT_NOFILE": (MAX_OPEN_FILES, MAX_OPEN_FILES),
        "RLIMIT_CORE": (0, 0),
    }
    for name, (soft, hard) in limits.items():
        with suppress(AttributeError, ValueError, OSError):  # macOS refuses some of them
            resource.setrlimit(getattr(resource, name), (soft, hard))


def enter() -> None:
    """Shut this process in. Call after `limit`, once all that it needs is imported."""
    seccomp.install()
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        flags = arguments[2]
        if isinstance(flags, int) and flags & _WRITING:
            raise PermissionError("a manual's reader may not write files")
    elif event.startswith(_FORBIDDEN):
        raise PermissionError(f"a manual's reader may not do this: {event}")

"""The walls around the child: limits of the kernel, no network, no writing, no new programs.

Three layers, each good for itself: resource limits, a filter of system calls where the platform
has one (Linux on x86-64 and ARM64), and Python's audit hook everywhere.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import resource
import struct
import sys
from typing import Any, Final

MAX_OPEN_FILES: Final = 32

_DENIED_X86_64: Final = (
    *(
        41,
        42,
        43,
        44,
        46,
        49,
        50,
        53,
    ),  # socket connect accept sendto sendmsg bind listen socketpair
    *(56, 57, 58, 59, 62, 101, 234),  # clone fork vfork execve kill ptrace tgkill
    *(76, 77, 82, 83, 84, 85, 86, 87, 88),  # truncate rename mkdir rmdir creat link unlink symlink
    *(90, 91, 92, 93, 94, 133, 155, 161, 165, 166),  # chmod chown mknod pivot_root chroot mount
    *(258, 259, 260, 263, 264, 265, 266, 268, 272, 288),  # ...at, unshare, accept4
    *(298, 307, 308, 310, 311, 316, 319, 321, 322),  # perf sendmmsg setns process_vm memfd bpf exec
    *(425, 434, 435, 437, 438, 452),  # io_uring pidfd clone3 openat2 fchmodat2
)
_DENIED_AARCH64: Final = (
    *(198, 199, 200, 201, 202, 203, 206, 211, 242, 269),  # the socket calls
    *(220, 221, 129, 131, 117),  # clone execve kill tgkill ptrace
    *(33, 34, 35, 36, 37, 38, 39, 40, 41, 45, 46, 51, 52, 53, 54, 55),  # files and mounts
    *(97, 241, 268, 270, 271, 276, 279, 280, 281),
    *(425, 434, 435, 437, 438, 452),
)
_PLATFORMS: Final = {  # machine: (audit architecture, denied calls, calls whose flags are checked)
    "x86_64": (0xC000003E, _DENIED_X86_64, ((2, 1), (257, 2))),  # open, openat
    "aarch64": (0xC00000B7, _DENIED_AARCH64, ((56, 2),)),
}
_WRITE_FLAGS: Final = 0o3 | 0o100 | 0o1000 | 0o2000  # O_WRONLY O_RDWR O_CREAT O_TRUNC O_APPEND
_X32_BIT: Final = 0x40000000

_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
_LOAD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2

_DENIED_EVENTS: Final = (
    "socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.remove",
    "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.chown",
    "os.truncate", "shutil.", "ctypes.dlopen", "urllib.", "ftplib.", "smtplib.", "webbrowser.",
)  # fmt: skip


def limit_resources(*, cpu_s: int, memory_bytes: int) -> None:
    """Limit this process: processor time, memory, no files written, no core dumps."""
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_OPEN_FILES, MAX_OPEN_FILES))


def enter() -> bool:
    """Forbid network, writing and new programs; True when the kernel enforces it too.

    Call after everything is imported: what was not loaded before cannot be loaded after.
    """
    filtered = _filter_calls()
    sys.addaudithook(_audit)
    return filtered


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event.startswith(_DENIED_EVENTS):
        raise PermissionError(errno.EPERM, f"{event} is not allowed while a manual is read")
    if event == "open" and len(args) > 2 and isinstance(args[2], int) and args[2] & _WRITE_FLAGS:
        raise PermissionError(errno.EPERM, "writing is not allowed while a manual is read")


def _filter_calls() -> bool:
    known = _PLATFORMS.get(platform.machine())
    if sys.platform != "linux" or known is None:
        return False
    code = b"".join(struct.pack("<HBBI", *line) for line in _program(*known))
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("<HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, program, 0, 0) == 0)


def _program(
    architecture: int, denied: tuple[int, ...], checked: tuple[tuple[int, int], ...]
) -> list[tuple[int, int, int, int]]:
    """Return the filter: instructions as (code, jump if true, jump if false, operand)."""
    lines = [
        (_LOAD, 0, 0, 4),  # the architecture
        (_JEQ, 1, 0, architecture),
        (_RET, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # the call's number
        (_JGE, 0, 1, _X32_BIT),
        (_RET, 0, 0, _KILL),
    ]
    for number in denied:
        lines += [(_JEQ, 0, 1, number), (_RET, 0, 0, _ERRNO)]
    for number, argument in checked:
        lines += [
            (_JEQ, 0, 4, number),
            (_LOAD, 0, 0, 16 + 8 * argument),  # the low half of the flags
            (_JSET, 0, 1, _WRITE_FLAGS),
            (_RET, 0, 0, _ERRNO),
            (_RET, 0, 0, _ALLOW),
        ]
    return [*lines, (_RET, 0, 0, _ALLOW)]

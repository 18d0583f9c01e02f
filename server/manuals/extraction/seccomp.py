"""A seccomp filter through ctypes: the system calls that reading a document needs, and no other."""

from __future__ import annotations

import ctypes
import platform
import struct
import sys
from typing import Final

_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_MODE_FILTER: Final = 2
_ALLOW: Final = 0x7FFF0000
_EPERM: Final = 0x00050001
_KILL: Final = 0x80000000
_WRITE_FLAGS: Final = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000 | 0o20000000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
"""Instructions of classic BPF: load a word, jump if equal, greater or equal, bit set, return."""

_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16
"""Where struct seccomp_data holds them."""

# read write close fstat lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn
# ioctl pread64 readv writev madvise mremap getpid gettid fcntl getcwd readlink(at) stat family
# getrusage times sysinfo uname getuid family futex sched_yield sched_getaffinity getdents64
# clock_* nanosleep exit exit_group getrandom rseq set_robust_list sigaltstack poll/ppoll
# restart_syscall gettimeofday membarrier faccessat dup
_X86_64: Final = (
    *(0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19, 20, 21, 24, 25, 27, 28, 32),
    *(35, 39, 60, 63, 72, 79, 89, 96, 98, 99, 100, 102, 104, 107, 108, 131, 186, 201, 202, 204),
    *(217, 219, 228, 229, 230, 231, 262, 267, 269, 271, 273, 318, 324, 332, 334, 439),
)
_AARCH64: Final = (
    *(17, 23, 25, 29, 48, 57, 61, 62, 63, 64, 65, 66, 67, 73, 78, 79, 80, 93, 94, 96, 98, 99),
    *(101, 113, 114, 115, 123, 124, 128, 132, 134, 135, 139, 153, 160, 165, 169, 172, 174, 175),
    *(176, 177, 178, 179, 214, 215, 216, 222, 226, 232, 233, 278, 283, 291, 293, 439),
)
_PLATFORMS: Final = {
    # machine: (audit name, allowed, opening calls and which argument holds their flags)
    "x86_64": (0xC000003E, _X86_64, {257: 2, 2: 1}),
    "aarch64": (0xC00000B7, _AARCH64, {56: 2}),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install() -> bool:
    """Install the filter for this process and its later threads; False where there is none.

    What is not allowed fails with EPERM; another architecture's calls end the process.
    """
    if sys.platform != "linux" or platform.machine() not in _PLATFORMS:
        return False
    code = _assembled(*_PLATFORMS[platform.machine()])
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero) != 0:
        return False
    done: int = libc.prctl(
        _PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), ctypes.byref(program), zero, zero
    )
    return done == 0


def _assembled(audit_name: int, allowed: tuple[int, ...], opening: dict[int, int]) -> bytes:
    lines = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_EQUAL, 1, 0, audit_name),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, 0x40000000),  # the x32 form of a call has numbers of its own
        (_RETURN, 0, 0, _KILL),
    ]
    for number in allowed:
        lines += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    for number, argument in opening.items():
        lines += [
            (_EQUAL, 0, 4, number),
            (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * argument),
            (_ANY_BIT, 1, 0, _WRITE_FLAGS),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _EPERM),
        ]
    lines.append((_RETURN, 0, 0, _EPERM))
    return b"".join(struct.pack("=HBBI", *line) for line in lines)

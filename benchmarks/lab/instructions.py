"""Instructions that this process has executed, counted by the processor; they do not depend on who else is busy."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from typing import Final

_SYSCALLS: Final = {"x86_64": 298, "aarch64": 241}
_SIZE: Final = 128
_INSTRUCTIONS: Final = 1
_EXCLUDE_KERNEL_AND_HYPERVISOR: Final = (1 << 5) | (1 << 6)


class Instructions:
    """A counter of this thread's instructions in user space. `why` says why there is none, where there is none."""

    def __init__(self) -> None:
        self.why = ""
        self._descriptor = -1
        number = _SYSCALLS.get(platform.machine())
        if number is None:
            self.why = f"not known how on {platform.machine()}"
            return
        # struct perf_event_attr: type 0 (hardware), its size, which event, and at 40 the bits of flags.
        attributes = bytearray(_SIZE)
        struct.pack_into("IIQ", attributes, 0, 0, _SIZE, _INSTRUCTIONS)
        struct.pack_into("Q", attributes, 40, _EXCLUDE_KERNEL_AND_HYPERVISOR)
        libc = ctypes.CDLL(None, use_errno=True)
        buffer = (ctypes.c_char * _SIZE).from_buffer(attributes)
        self._descriptor = libc.syscall(number, buffer, 0, -1, -1, 0)
        if self._descriptor < 0:
            self.why = f"this machine does not count them: {os.strerror(ctypes.get_errno()).lower()}"

    def read(self) -> int:
        """Instructions so far; 0 where there is no counter."""
        if self._descriptor < 0:
            return 0
        return int.from_bytes(os.read(self._descriptor, 8), "little")

    def close(self) -> None:
        """Let go of the counter."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

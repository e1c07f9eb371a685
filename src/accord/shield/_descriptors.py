# SPDX-License-Identifier: Apache-2.0
"""The few descriptors that bubblewrap inherits."""

import contextlib
import os
from pathlib import Path


class Descriptors:
    """Pipes and memory for one run, closed whatever happens."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._open: set[int] = set()
        self._inherited: list[int] = []
        stack.callback(lambda: self._close(*self._open))

    @property
    def inherited(self) -> tuple[int, ...]:
        return tuple(self._inherited)

    def pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._open.update(ends)
        return ends

    def memory(self, content: bytes) -> int:
        """A descriptor from which bubblewrap reads ``content``; it has no name anywhere."""
        descriptor = os.memfd_create("accord")
        self._open.add(descriptor)
        self._inherited.append(descriptor)
        Path(f"/proc/self/fd/{descriptor}").write_bytes(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    def pass_on(self, *descriptors: int) -> None:
        self._inherited += descriptors

    def close_inherited(self) -> None:
        """Close the shield's copies, so that the end of bubblewrap ends its pipes."""
        self._close(*self._inherited)

    def _close(self, *descriptors: int) -> None:
        for descriptor in descriptors:
            if descriptor in self._open:
                self._open.remove(descriptor)
                os.close(descriptor)

# SPDX-License-Identifier: Apache-2.0
"""Reading what a program prints, keeping only the end of it."""

import os
import selectors
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

TAIL_BYTES = 4096
"""Enough for a traceback; a program cannot fill the shield's memory by printing."""

_READ_BYTES = 65536

_END_TIMEOUT_S = 10.0
"""Between killing a sandbox and the end of its last process."""

_ASK_S = 0.2
"""How often it is asked whether a program may run on, where that can change."""


@dataclass(frozen=True, slots=True)
class Captured:
    """What a program printed last, and whether it was killed."""

    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)
    timed_out: bool
    stopped: bool


def capture(
    process: subprocess.Popen[bytes],
    *,
    deadline: float | None,
    allowed: Callable[[], bool] | None = None,
) -> Captured:
    """The ends of standard output and standard error, and why it ended before its time.

    Returns when the last process that holds one of the two pipes is gone, which is the end of
    the sandbox; at ``deadline`` (of ``time.monotonic``), or as soon as ``allowed`` says no, it
    is killed.
    """
    tails = {1: b"", 2: b""}
    timed_out = stopped = False
    with selectors.DefaultSelector() as selector:
        for number, pipe in ((1, process.stdout), (2, process.stderr)):
            if pipe is not None:
                selector.register(pipe, selectors.EVENT_READ, number)
        while selector.get_map():
            wait_s = None if deadline is None else deadline - time.monotonic()
            late = wait_s is not None and wait_s <= 0
            if late and (timed_out or stopped):
                break
            forbidden = not (stopped or timed_out or allowed is None or allowed())
            if late or forbidden:
                timed_out, stopped = late and not forbidden, forbidden
                process.kill()
                deadline = time.monotonic() + _END_TIMEOUT_S
                continue
            if allowed is not None:
                wait_s = _ASK_S if wait_s is None else min(wait_s, _ASK_S)
            for key, _ in selector.select(wait_s):
                part = os.read(key.fd, _READ_BYTES)
                if part:
                    tails[key.data] = (tails[key.data] + part)[-TAIL_BYTES:]
                else:
                    selector.unregister(key.fileobj)
    process.wait(_END_TIMEOUT_S)
    return Captured(tails[1], tails[2], timed_out, stopped)

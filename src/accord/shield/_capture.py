# SPDX-License-Identifier: Apache-2.0
"""Reading what a program prints, keeping only the end of it."""

import os
import selectors
import subprocess
import time

TAIL_BYTES = 4096
"""Enough for a traceback; a program cannot fill the shield's memory by printing."""

_READ_BYTES = 65536

_END_TIMEOUT_S = 10.0
"""Between killing a sandbox and the end of its last process."""


def capture(
    process: subprocess.Popen[bytes], *, deadline: float | None
) -> tuple[bytes, bytes, bool]:
    """The ends of standard output and standard error, and whether time ran out.

    Returns when the last process that holds one of the two pipes is gone, which is the end of
    the sandbox; at ``deadline`` (of ``time.monotonic``) it is killed.
    """
    tails = {1: b"", 2: b""}
    timed_out = False
    with selectors.DefaultSelector() as selector:
        for number, pipe in ((1, process.stdout), (2, process.stderr)):
            if pipe is not None:
                selector.register(pipe, selectors.EVENT_READ, number)
        while selector.get_map():
            wait_s = None if deadline is None else deadline - time.monotonic()
            if wait_s is not None and wait_s <= 0:
                if timed_out:
                    break
                timed_out = True
                process.kill()
                deadline = time.monotonic() + _END_TIMEOUT_S
                continue
            for key, _ in selector.select(wait_s):
                part = os.read(key.fd, _READ_BYTES)
                if part:
                    tails[key.data] = (tails[key.data] + part)[-TAIL_BYTES:]
                else:
                    selector.unregister(key.fileobj)
    process.wait(_END_TIMEOUT_S)
    return tails[1], tails[2], timed_out

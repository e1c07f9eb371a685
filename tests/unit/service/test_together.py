# SPDX-License-Identifier: Apache-2.0
"""What is written in one step of the event loop leaves at once."""

import asyncio
from typing import Any

from accord.service._together import Together


class Fake(asyncio.Transport):
    """A transport that remembers what happened to it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.happened: list[Any] = []

    def write(self, data: Any) -> None:
        self.happened.append(bytes(data))

    def close(self) -> None:
        self.happened.append("closed")

    def abort(self) -> None:
        self.happened.append("aborted")

    def is_closing(self) -> bool:
        return "closed" in self.happened

    def pause_reading(self) -> None:
        self.happened.append("paused")

    def resume_reading(self) -> None:
        self.happened.append("resumed")


def happened(*calls: str) -> list[Any]:
    """What a transport sees of these calls, each of them a method or something to write."""
    fake = Fake()

    async def run() -> None:
        together = Together(fake, asyncio.get_running_loop())
        for call in calls:
            if call == "step":
                await asyncio.sleep(0)
            elif hasattr(together, call):
                getattr(together, call)()
            else:
                together.write(call.encode())
        await asyncio.sleep(0)
        assert together.is_closing() is fake.is_closing()
        assert together.get_extra_info("peername") == ("127.0.0.1", 1)

    asyncio.run(run())
    return fake.happened


def test_a_header_and_a_body_leave_together() -> None:
    """One write, after the step in which both were written; then the next."""
    assert happened("head", "body", "step", "next") == [b"headbody", b"next"]


def test_what_was_written_leaves_before_the_end() -> None:
    """Closing sends what is held, and once; aborting throws it away."""
    assert happened("last", "close") == [b"last", "closed"]
    assert happened("last", "abort") == ["aborted"]


def test_reading_is_paused_and_resumed() -> None:
    """Backpressure reaches the connection."""
    assert happened("pause_reading", "resume_reading") == ["paused", "resumed"]

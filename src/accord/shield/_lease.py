# SPDX-License-Identifier: Apache-2.0
"""Leases: a program may run on for as long as everybody still agrees, and no longer.

The trust service counts a lease from its answer, the shield from before its question, on a
clock that goes on while the machine sleeps and that nobody sets. So it ends here first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from accord.client import TrustSession
from accord.errors import (
    AccordError,
    AppraisalError,
    LeaseLostError,
    NonceError,
    NotAttestedError,
    ReleaseError,
)
from accord.evidence import Attester, Purpose
from accord.identity import Keyset, Signer
from accord.release import Lease, LeaseRequest, lease_binding
from accord.shield._job import Job
from accord.shield._way import Way

_LOOK_S = 0.2
"""How often the thread looks at the clock."""

_MAX_PAUSE_S = 5.0
"""Between two attempts to renew, where the trust service does not answer."""

_JOIN_S = 2.0
"""How long the end of a run waits for a renewal on its way."""


def boot_time() -> float:
    """Seconds since the machine started, those included in which it slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def ask_for_renewal(
    job: Job,
    attester: Attester,
    *,
    run: str,
    keyset: Keyset,
    signer: Signer,
    way: Way,
) -> Lease:
    """One renewal, by fresh evidence over a new connection, signed by the key of the run.

    Where the board has moved meanwhile, by the service that has it now. Raises
    ``LeaseLostError`` where the trust service refuses for good; anything else (CHN, ATT and
    other errors) may be tried again.
    """

    def renewed(session: TrustSession) -> Lease:
        nonce = session.challenge(Purpose.LEASE)
        binding = lease_binding(job.board, run, keyset, nonce, exporter=session.binder(nonce))
        evidence = attester.collect(binding.report_data())
        request = LeaseRequest.make(
            board=job.board,
            run=run,
            nonce=nonce,
            evidence=evidence,
            channel=session.channel,
            signer=signer,
        )
        try:
            return session.renew(request)
        except (NonceError, NotAttestedError):
            # A service that was restarted in between knows the nonce no more.
            raise
        except (ReleaseError, AppraisalError) as error:
            raise LeaseLostError(run=run, reason=_told(error)) from error

    return way.asked(renewed)


class LeaseKeeper:
    """Renews a run's lease at half its life, in a thread, and says when it is lost.

    It does not end the program: whoever runs it asks `holds` often, and so do the steps before
    and after, with `check`. What was lost once stays lost, whatever is answered later.
    """

    def __init__(
        self,
        *,
        run: str,
        lease_s: int | None,
        asked: float,
        renew: Callable[[], Lease],
        renewed: Callable[[Lease], None],
    ) -> None:
        """``lease_s`` as `None`: it holds for ever. ``asked``: `boot_time` before the release.

        ``renewed`` is called with each new lease.
        """
        self._run, self._lease_s = run, lease_s
        self._renew, self._renewed = renew, renewed
        self._from = asked
        self._lost: LeaseLostError | None = None
        self._trouble = ""
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> Self:
        if self._lease_s is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        # With the lock: a renewal that is on its way changes nothing any more.
        with self._lock:
            self._stop.set()
        if self._lease_s is not None:
            self._thread.join(_JOIN_S)

    def holds(self) -> bool:
        """Whether the program may still run."""
        with self._lock:
            if self._lost is None and self._lease_s is not None and self._left_s() <= 0:
                detail = f"; {self._trouble}" if self._trouble else ""
                self._lost = LeaseLostError(run=self._run, reason=f"it ended{detail}")
            return self._lost is None

    def check(self) -> None:
        """Raises ``LeaseLostError`` where the lease is lost."""
        if not self.holds() and self._lost is not None:
            raise self._lost

    def _left_s(self) -> float:
        return self._from + (self._lease_s or 0) - boot_time()

    def _keep(self) -> None:
        lease_s = self._lease_s or 0
        due = self._from + lease_s / 2
        while self._wait_until(due):
            asked = boot_time()
            try:
                lease = self._renew()
                with self._lock:
                    if self._stop.is_set() or self._lost is not None:
                        return
                    if self._left_s() > 0:
                        self._renewed(lease)
                        self._from, self._trouble = asked, ""
            except LeaseLostError as error:
                with self._lock:
                    self._lost = self._lost or error
                return
            except AccordError as error:
                self._trouble = _told(error)
            except Exception as error:  # noqa: BLE001 - the lease ends, and with it the program
                self._trouble = type(error).__name__
            pause = min(_MAX_PAUSE_S, lease_s / 10)
            due = max(self._from + lease_s / 2, boot_time() + pause)

    def _wait_until(self, due: float) -> bool:
        """False where the run or its lease has ended meanwhile."""
        while (wait_s := due - boot_time()) > 0:
            if self._stop.wait(min(wait_s, _LOOK_S)) or not self.holds():
                return False
        return self.holds() and not self._stop.is_set()


def _told(error: AccordError) -> str:
    return f"{error.code} {error}"

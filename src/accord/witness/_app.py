# SPDX-License-Identifier: Apache-2.0
"""What a witness answers: C2SP's tlog-witness, its latest checkpoints, how it is."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from functools import partial
from http import HTTPStatus

from accord.encoding import JSONValue
from accord.errors import (
    AccordError,
    CheckpointNotSignedError,
    LogNotWitnessedError,
    NotContinuedError,
    ReplayRefusedError,
    ReplayUnavailableError,
    SplitViewError,
    WitnessedSizeError,
    WitnessRequestError,
    WitnessStateError,
)
from accord.ledger import AddCheckpoint
from accord.witness._head import Head
from accord.witness._http import Request, Response
from accord.witness._witness import Witness

SIZE_TYPE = "text/x.tlog.size"

STATUS: Mapping[type[AccordError], HTTPStatus] = {
    WitnessRequestError: HTTPStatus.BAD_REQUEST,
    CheckpointNotSignedError: HTTPStatus.FORBIDDEN,
    LogNotWitnessedError: HTTPStatus.NOT_FOUND,
    WitnessedSizeError: HTTPStatus.CONFLICT,
    SplitViewError: HTTPStatus.CONFLICT,
    NotContinuedError: HTTPStatus.UNPROCESSABLE_ENTITY,
    ReplayRefusedError: HTTPStatus.UNPROCESSABLE_ENTITY,
    ReplayUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    WitnessStateError: HTTPStatus.SERVICE_UNAVAILABLE,
}

_CHECKPOINT = re.compile(r"/logs/([0-9a-f]{64})/checkpoint")

Told = Callable[[dict[str, JSONValue]], None]
"""Takes one line of the witness's own log; it holds names of logs, and nothing secret."""


class WitnessApp:
    """The interface of one witness; its work is done by the threads of ``executor``."""

    def __init__(self, witness: Witness, executor: Executor, told: Told) -> None:
        self._witness, self._executor, self._told = witness, executor, told
        self._outcomes: Counter[str] = Counter()

    async def __call__(self, request: Request) -> Response:
        """Answers; no failure leaves it as an exception."""
        work: Callable[[], Response]
        match request.method, request.path:
            case "POST", "/add-checkpoint":
                work = partial(self._add, request.body)
            case "GET", path:
                work = partial(self._show, path)
            case _:
                return Response(HTTPStatus.METHOD_NOT_ALLOWED, b"")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, work)
        except AccordError as exc:
            return _refusal(exc)
        except Exception as exc:  # noqa: BLE001 - its words may quote what it failed on
            self._told({"level": "error", "message": "failed", "kind": type(exc).__name__})
            return Response(HTTPStatus.INTERNAL_SERVER_ERROR, b"")

    def _add(self, body: bytes) -> Response:
        try:
            line = self._witness.add_checkpoint(body)
        except AccordError as exc:
            self._outcomes[exc.code] += 1
            # Only an origin that is known is named: others are as long as somebody likes.
            known = {} if isinstance(exc, LogNotWitnessedError) else _named(exc)
            self._told({"level": "warning", "message": "refused", "code": exc.code, **known})
            raise
        self._outcomes["cosigned"] += 1
        head = Head.claimed(AddCheckpoint.from_bytes(body).note)
        self._told({"level": "info", "message": "cosigned", "log": head.origin, "size": head.size})
        return Response(HTTPStatus.OK, line.encode())

    def _show(self, path: str) -> Response:
        found = _CHECKPOINT.fullmatch(path)
        if found is not None:
            log = self._witness.store.by_digest(found[1])
            if log is not None and log.note:
                return Response(HTTPStatus.OK, log.note)
        elif path == "/healthz":
            logs = len(self._witness.store.logs())
            document = {"status": "open", "name": self._witness.name, "logs": logs}
            return Response(HTTPStatus.OK, json.dumps(document).encode(), "application/json")
        elif path == "/metrics":
            return Response(HTTPStatus.OK, "".join(self._metrics()).encode())
        return Response(HTTPStatus.NOT_FOUND, b"")

    def _metrics(self) -> list[str]:
        """In Prometheus's text format, as far as that needs no library."""
        lines = ["# TYPE accord_witness_requests_total counter\n"]
        for outcome, count in sorted(self._outcomes.items()):
            lines.append(f'accord_witness_requests_total{{outcome="{outcome}"}} {count}\n')
        lines.append("# TYPE accord_witness_size gauge\n")
        lines += [
            f'accord_witness_size{{log="{origin}"}} {size}\n'
            for origin, size in (
                (log.origin.replace("\\", r"\\").replace('"', r"\""), log.size)
                for log in self._witness.store.logs()
            )
        ]
        return lines


def _named(error: AccordError) -> dict[str, JSONValue]:
    origin = error.details.get("origin")
    return {} if origin is None else {"log": str(origin)}


def _refusal(error: AccordError) -> Response:
    status = STATUS.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    if status is HTTPStatus.CONFLICT:
        # The protocol wants the size, and nothing else, in the body.
        return Response(status, f"{error.details['size']}\n".encode(), SIZE_TYPE)
    return Response(status, f"{error.code} {error}\n".encode())

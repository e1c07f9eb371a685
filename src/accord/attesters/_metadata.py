# SPDX-License-Identifier: Apache-2.0
"""Azure's metadata service of the host: reached only where the user allows it."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse, IncompleteRead
from urllib.error import URLError

from accord.attesters._azure import METADATA_SERVICE
from accord.errors import InterfaceFailedError

MAX_ANSWER_BYTES = 1 << 20
TIMEOUT_S = 10.0
"""How long the host may say nothing."""

DEADLINE_S = 30.0
"""How long a whole answer may take."""

_CHUNK_BYTES = 1 << 16


def metadata_service(
    base: str = METADATA_SERVICE, *, deadline_s: float = DEADLINE_S
) -> Callable[[str, bytes | None], bytes]:
    """A function that asks the service at ``base``, without proxies: it is link-local.

    What it answers is as trustworthy as the host: nothing in it is believed unverified.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(path: str, body: bytes | None) -> bytes:
        request = urllib.request.Request(  # noqa: S310 - a fixed http address
            base + path,
            data=body,
            headers={"Metadata": "true", "Content-Type": "application/json"},
        )
        try:
            with opener.open(request, timeout=TIMEOUT_S) as response:
                data = _read(response, until=time.monotonic() + deadline_s)
        except (URLError, HTTPException, OSError, ValueError) as exc:
            detail = str(exc) or type(exc).__name__
            raise InterfaceFailedError(what="Azure's metadata service", detail=detail) from exc
        if len(data) > MAX_ANSWER_BYTES:
            raise InterfaceFailedError(
                what="Azure's metadata service", detail=f"more than {MAX_ANSWER_BYTES} bytes"
            )
        return data

    return ask


def _read(response: HTTPResponse, *, until: float) -> bytes:
    """At most one byte more than an answer may have. Raises ``OSError`` or ``HTTPException``."""
    data = b""
    while len(data) <= MAX_ANSWER_BYTES:
        chunk = response.read1(min(_CHUNK_BYTES, MAX_ANSWER_BYTES + 1 - len(data)))
        if not chunk:
            if response.length:  # read1 does not say that less came than was announced
                raise IncompleteRead(data, response.length)
            return data
        data += chunk
        if time.monotonic() > until:
            raise TimeoutError(None, "the answer takes too long")
    return data

# SPDX-License-Identifier: Apache-2.0
"""Azure's metadata service of the host: reached only where the user allows it."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from urllib.error import URLError

from accord.attesters._azure import METADATA_SERVICE
from accord.errors import InterfaceFailedError

MAX_ANSWER_BYTES = 1 << 20
TIMEOUT_S = 10.0


def metadata_service(base: str = METADATA_SERVICE) -> Callable[[str, bytes | None], bytes]:
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
                data: bytes = response.read(MAX_ANSWER_BYTES + 1)
        except (URLError, OSError, ValueError) as exc:
            raise InterfaceFailedError(what="Azure's metadata service", detail=str(exc)) from exc
        if len(data) > MAX_ANSWER_BYTES:
            raise InterfaceFailedError(
                what="Azure's metadata service", detail=f"more than {MAX_ANSWER_BYTES} bytes"
            )
        return data

    return ask

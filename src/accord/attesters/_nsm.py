# SPDX-License-Identifier: Apache-2.0
"""AWS Nitro enclaves: the Nitro Security Module, CBOR over an ioctl of /dev/nsm.

Linux, include/uapi/linux/nsm.h; requests and responses: aws-nitro-enclaves-nsm-api, `api/mod.rs`.
"""

from __future__ import annotations

import ctypes
import fcntl
import io
import os
from collections.abc import Callable
from pathlib import Path

import cbor2

from accord.attesters._collector import check_report_data, missing_or_failed
from accord.errors import InterfaceFailedError
from accord.evidence import Evidence
from accord.policy import Family

NSM = Path("/dev/nsm")

IOCTL_RAW = 0xC0200A00
"""NSM_IOCTL_RAW: _IOWR(0x0A, 0, struct nsm_raw), 32 bytes."""

MAX_RESPONSE_BYTES = 0x3000
"""NSM_RESPONSE_MAX_SIZE."""

_WHAT = "the Nitro Security Module"

Ioctl = Callable[[int, int, bytearray], object]


class Message(ctypes.Structure):
    """struct nsm_raw: two struct iovec, request and response."""

    _fields_ = (
        ("request", ctypes.c_uint64),
        ("request_bytes", ctypes.c_uint64),
        ("response", ctypes.c_uint64),
        ("response_bytes", ctypes.c_uint64),
    )


class NitroSecurityModule:
    """A collector inside a Nitro enclave. User data carries the report data."""

    family = Family.NITRO

    def __init__(self, path: Path = NSM, *, ioctl: Ioctl = fcntl.ioctl) -> None:
        self._path, self._ioctl = path, ioctl

    def collect(self, report_data: bytes) -> Evidence:
        """Evidence that carries ``report_data`` as user data.

        Raises ``InterfaceMissingError`` or ``InterfaceFailedError``.
        """
        check_report_data(report_data)
        asked = {"Attestation": {"user_data": report_data, "nonce": None, "public_key": None}}
        return Evidence(self.family, _document(self._exchange(cbor2.dumps(asked))))

    def _exchange(self, request: bytes) -> bytes:
        asked = ctypes.create_string_buffer(request, len(request))
        answer = ctypes.create_string_buffer(MAX_RESPONSE_BYTES)
        message = Message(
            ctypes.addressof(asked), len(request), ctypes.addressof(answer), MAX_RESPONSE_BYTES
        )
        raw = bytearray(bytes(message))
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            try:
                self._ioctl(descriptor, IOCTL_RAW, raw)
            finally:
                os.close(descriptor)
        except OSError as exc:
            raise missing_or_failed(exc, _WHAT, self._path) from exc
        # The module writes how long its response is.
        size = Message.from_buffer_copy(raw).response_bytes
        if size > MAX_RESPONSE_BYTES:
            raise InterfaceFailedError(what=_WHAT, detail=f"it says that it wrote {size} bytes")
        return answer.raw[:size]


def _document(response: bytes) -> bytes:
    """The attestation document in a response, which holds that and nothing else."""
    stream = io.BytesIO(response)
    try:
        value = cbor2.load(stream)
    except (cbor2.CBORDecodeError, ValueError, TypeError, RecursionError) as exc:
        raise InterfaceFailedError(what=_WHAT, detail="its response is not CBOR") from exc
    match value:
        case {"Attestation": {"document": bytes() as document, **inner}, **outer} if (
            document and not inner and not outer and stream.tell() == len(response)
        ):
            return document
        case {"Error": str() as error}:
            raise InterfaceFailedError(what=_WHAT, detail=f"it refuses: {error}")
    raise InterfaceFailedError(what=_WHAT, detail="its response holds no document")

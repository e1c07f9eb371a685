# SPDX-License-Identifier: Apache-2.0
"""A monotonic counter in a TPM's non-volatile memory (TPM 2.0 library, part 1, section 37.2.5).

Whoever holds the owner hierarchy, as a rule the operator, can delete it. What they make in its
place starts at the greatest value that any counter of that TPM ever had, and knows no secret
of ours, so they can stop its user and not set it back.
"""

from __future__ import annotations

import struct
from typing import Final

from accord.attesters._tpm import Connect, opened
from accord.attesters._tpm_commands import OWNER, TPM, sized
from accord.errors import CounterIndexError, TPMCommandError

COUNTER_INDEX: Final = 0x01800A0C
"""An index that no registry of the TCG gives to anybody."""

AUTH_BYTES: Final = 32

_NV_DEFINE_SPACE, _NV_READ, _NV_INCREMENT, _NV_READ_PUBLIC = 0x12A, 0x14E, 0x134, 0x169
_PASSWORD_SESSION: Final = 0x40000009
_SHA256: Final = 0x000B
_SIZE: Final = 8

_COUNTER: Final = 0x02040014
"""AUTHWRITE, TPM_NT_COUNTER, AUTHREAD, NO_DA: its own authority alone reads and counts."""

_WRITTEN: Final = 0x20000000

_HANDLE_MISSING: Final = "0x18b"
"""TPM_RC_HANDLE for handle 1: there is no such index."""


class _Commands(TPM):
    """The commands of one counter, authorized by its own password."""

    def define(self, index: int, auth: bytes) -> None:
        public = struct.pack(">IHIHH", index, _SHA256, _COUNTER, 0, _SIZE)
        self._authorized(_NV_DEFINE_SPACE, (OWNER,), sized(auth) + sized(public))

    def attributes(self, index: int) -> int:
        """What kind of index it is."""
        public = self._plain(_NV_READ_PUBLIC, struct.pack(">I", index)).sized()
        return int.from_bytes(public[6:10], "big")

    def read(self, index: int, auth: bytes) -> int:
        body = self._own(index, auth) + struct.pack(">HH", _SIZE, 0)
        _, response = self._with_sessions(_NV_READ, body, handles=0)
        return int.from_bytes(response.sized(), "big")

    def increment(self, index: int, auth: bytes) -> None:
        self._with_sessions(_NV_INCREMENT, self._own(index, auth), handles=0)

    @staticmethod
    def _own(index: int, auth: bytes) -> bytes:
        session = struct.pack(">IHB", _PASSWORD_SESSION, 0, 0) + sized(auth)
        return struct.pack(">III", index, index, len(session)) + session


class TPMCounter:
    """One counter behind ``connect``, which opens the TPM for as long as an operation takes."""

    def __init__(
        self, auth: bytes, *, connect: Connect = opened, index: int = COUNTER_INDEX
    ) -> None:
        """``auth``: 32 bytes that nobody else knows. Not touched before it is asked for."""
        self._auth, self._connect, self._index = auth[:AUTH_BYTES], connect, index

    def read(self) -> int:
        """Its value; it is made first where it is not there, and where it never counted.

        Raises ``CounterIndexError`` where the index is somebody else's, and what the TPM raises.
        """
        with self._connect() as transmit:
            tpm = _Commands(transmit)
            attributes = self._attributes(tpm)
            if attributes is None:
                tpm.define(self._index, self._auth)
                attributes = _COUNTER
            if attributes & ~_WRITTEN != _COUNTER:
                raise CounterIndexError(index=f"{self._index:#x}", detail="it is no such counter")
            if not attributes & _WRITTEN:
                self._increment(tpm)
            return self._value(tpm)

    def increment(self) -> int:
        """Counts one on, and returns what the TPM says then. Raises as `read`."""
        with self._connect() as transmit:
            tpm = _Commands(transmit)
            self._increment(tpm)
            return self._value(tpm)

    def _attributes(self, tpm: _Commands) -> int | None:
        try:
            return tpm.attributes(self._index)
        except TPMCommandError as exc:
            if _HANDLE_MISSING in str(exc):
                return None
            raise

    def _increment(self, tpm: _Commands) -> None:
        try:
            tpm.increment(self._index, self._auth)
        except TPMCommandError as exc:
            raise CounterIndexError(index=f"{self._index:#x}", detail=exc) from exc

    def _value(self, tpm: _Commands) -> int:
        try:
            return tpm.read(self._index, self._auth)
        except TPMCommandError as exc:
            raise CounterIndexError(index=f"{self._index:#x}", detail=exc) from exc

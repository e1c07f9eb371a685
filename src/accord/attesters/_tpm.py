# SPDX-License-Identifier: Apache-2.0
"""TPM 2.0 by raw commands through the kernel's resource manager, and Intel TXT, which needs one.

The attestation key is a primary key of the endorsement hierarchy: the same at each call, and
gone when nobody uses it. Nothing in the TPM is changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType

from accord.attesters._collector import (
    check_report_data,
    missing_or_failed,
    read_optional,
)
from accord.attesters._tpm_commands import AK_P256, ENDORSEMENT, OWNER, TPM, Transmit
from accord.errors import LogMismatchError, ReportRaceError
from accord.evidence import Evidence, link
from accord.evidence.tpm import check_registers, format_registers, pack_quote, parse_quote
from accord.policy import Family

TPMRM = Path("/dev/tpmrm0")
EVENT_LOG = Path("/sys/kernel/security/tpm0/binary_bios_measurements")
IMA_LOG = Path("/sys/kernel/security/ima/ascii_runtime_measurements")

TXT_LOG = Path("/sys/kernel/security/slaunch/eventlog")
"""The log of a late launch, on kernels with Secure Launch."""

LOGS: Mapping[str, Path] = MappingProxyType({"event_log": EVENT_LOG, "ima_log": IMA_LOG})
"""Attachments by name, and where Linux has them."""

BOOT_REGISTERS = range(16)
"""What is quoted of a TPM: everything that only a restart resets."""

ALL_REGISTERS = range(24)
"""What is quoted for TXT: a late launch resets 17 to 22."""

_MAX_RESPONSE_BYTES = 4096
_WHAT = "the TPM's resource manager"
_ATTEMPTS = 5


@contextmanager
def opened(path: Path = TPMRM) -> Iterator[Transmit]:
    """A TPM's character device. Raises ``InterfaceMissingError`` or ``InterfaceFailedError``."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as exc:
        raise missing_or_failed(exc, _WHAT, path) from exc

    def transmit(command: bytes) -> bytes:
        try:
            os.write(descriptor, command)
            return os.read(descriptor, _MAX_RESPONSE_BYTES)
        except OSError as exc:
            raise missing_or_failed(exc, _WHAT, path) from exc

    try:
        yield transmit
    finally:
        os.close(descriptor)


Connect = Callable[[], AbstractContextManager[Transmit]]
"""Opens a TPM for one collection."""


class TPMCollector:
    """A collector that quotes the registers of one bank, with the logs that lead to them.

    ``connect`` opens the TPM for one collection. ``key`` is the handle of a persistent
    attestation key; without one a primary key is made for the call. ``certificate`` is the NV
    index of its certificate, where the platform has one.
    """

    def __init__(
        self,
        connect: Connect = opened,
        *,
        family: Family = Family.TPM,
        bank: str = "sha256",
        key: int | None = None,
        certificate: int | None = None,
        logs: Mapping[str, Path] = LOGS,
    ) -> None:
        self.family = family
        self._connect, self._bank, self._key = connect, bank, key
        self._certificate, self._logs = certificate, logs
        self._registers = ALL_REGISTERS if family is Family.TXT else BOOT_REGISTERS

    def collect(self, report_data: bytes) -> Evidence:
        """A quote whose nonce is linked to ``report_data``, registers, key and logs.

        Raises ``InterfaceMissingError``, ``InterfaceFailedError``, ``TPMCommandError`` or
        ``ReportRaceError``.
        """
        check_report_data(report_data)
        nonce = link(self.family.value, report_data)
        with self._connect() as transmit:
            tpm = TPM(transmit)
            with attestation_key(tpm, self._key) as (public, key):
                blob, registers = quote(tpm, key, nonce, {self._bank: self._registers})
            endorsements = {}
            if self._certificate is not None:
                endorsements["ak_certificate"] = read_certificate(tpm, self._certificate)
        aux = {"ak_public": public, "pcrs": registers}
        for name, path in self._logs.items():
            log = read_optional(path)
            if log:
                aux[name] = log
        return Evidence(self.family, blob, MappingProxyType(endorsements), MappingProxyType(aux))


@contextmanager
def attestation_key(tpm: TPM, handle: int | None) -> Iterator[tuple[bytes, int]]:
    """TPMT_PUBLIC and handle of a persistent key, or of a primary key for as long as it lasts."""
    if handle is not None:
        yield tpm.read_public(handle)[0], handle
        return
    public, made = tpm.create_primary(ENDORSEMENT, AK_P256)
    try:
        yield public, made
    finally:
        tpm.flush(made)


def read_certificate(tpm: TPM, index: int) -> bytes:
    """The certificate in an NV index, without the padding that makers leave behind it.

    Raises ``TPMCommandError``.
    """
    data = tpm.nv_read(index, authority=OWNER)
    # A SEQUENCE of more than 255 bytes: as long as the two octets behind 0x82 say (X.690, 8.1.3).
    size = 4 + int.from_bytes(data[2:4], "big") if data[:2] == b"\x30\x82" else len(data)
    return data[:size]


def quote(
    tpm: TPM, key: int, nonce: bytes, selection: Mapping[str, Iterable[int]]
) -> tuple[bytes, bytes]:
    """A quote and the registers' values that it covers.

    Values are read by commands of their own: where a register was extended in between, both
    are asked for again. Raises ``ReportRaceError`` or ``TPMCommandError``.
    """
    for _ in range(_ATTEMPTS):
        values = tpm.pcr_read(selection)
        blob = pack_quote(*tpm.quote(key, nonce, selection))
        try:
            check_registers(parse_quote(blob), values)
        except LogMismatchError:
            continue
        return blob, format_registers(values)
    raise ReportRaceError(what="the TPM", times=_ATTEMPTS)

# SPDX-License-Identifier: Apache-2.0
"""Writes the logs of a boot, byte for byte as firmware, boot loaders and kernels do."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

BANKS: Final[Mapping[str, int]] = {"sha1": 0x0004, "sha256": 0x000B, "sha384": 0x000C}
"""Banks that simulated machines log and quote."""

_GLOBAL = bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c")
_SECURITY = bytes.fromhex("cbb219d73a3d9645a3bcdad00e67656f")
_NO_ACTION, _SEPARATOR, _ACTION, _IPL = 0x3, 0x4, 0x80000007, 0xD
_VARIABLE, _BOOT_APPLICATION, _S_CRTM = 0x80000001, 0x80000003, 0x8
_LAST_FIRMWARE_REGISTER = 7
_IMA_REGISTER = 10


@dataclass(frozen=True, slots=True)
class Measured:
    """One event: ``content`` is what was hashed, ``data`` what the log says of it."""

    index: int
    type: int
    content: bytes
    data: bytes

    def digests(self) -> dict[str, bytes]:
        """Its digest in every bank."""
        return {bank: hashlib.new(bank, self.content).digest() for bank in BANKS}


@dataclass(frozen=True, slots=True)
class SimulatedBoot:
    """What a simulated machine starts: change a field, and other registers change."""

    firmware: bytes = b"accord simulated firmware"
    secure_boot: bool = True
    keys: Mapping[str, bytes] = field(
        default_factory=lambda: {
            name: f"accord simulated {name}".encode() for name in ("PK", "KEK", "db", "dbx")
        }
    )
    boot_loader: bytes = b"accord simulated boot loader"
    kernel: bytes = b"accord simulated kernel"
    initrd: bytes = b"accord simulated initial memory disk"
    command_line: str = "root=/dev/vda ro ima_policy=tcb"
    files: Mapping[str, bytes] = field(
        default_factory=lambda: {
            "/usr/bin/init": b"accord simulated init",
            "/usr/bin/program": b"accord simulated program",
        }
    )

    def events(self) -> tuple[Measured, ...]:
        """What firmware and boot loader measure, in order."""
        line = f"kernel_cmdline: {self.command_line}".encode()
        return (
            Measured(0, _S_CRTM, self.firmware, b"firmware\0"),
            *self._secure_boot(),
            *(
                Measured(index, _SEPARATOR, bytes(4), bytes(4))
                for index in range(_LAST_FIRMWARE_REGISTER + 1)
            ),
            _action(4, b"Calling EFI Application from Boot Option"),
            Measured(4, _BOOT_APPLICATION, self.boot_loader, _image("\\EFI\\BOOT\\BOOTX64.EFI")),
            Measured(9, _IPL, self.kernel, b"/boot/vmlinuz\0"),
            Measured(9, _IPL, self.initrd, b"/boot/initrd\0"),
            Measured(8, _IPL, self.command_line.encode(), line + b"\0"),
            _action(5, b"Exit Boot Services Invocation"),
            _action(5, b"Exit Boot Services Returned with Success"),
        )

    def _secure_boot(self) -> tuple[Measured, ...]:
        variables = [(_GLOBAL, "SecureBoot", bytes([self.secure_boot]))]
        for name, content in self.keys.items():
            variables.append((_GLOBAL if name in {"PK", "KEK"} else _SECURITY, name, content))
        return tuple(Measured(7, _VARIABLE, data, data) for data in map(_variable, variables))

    def ima_entries(self, boot_aggregate: bytes) -> tuple[tuple[bytes, str, bytes], ...]:
        """Template data, name and digest (SHA-256) of each file that the kernel measures."""
        digests = {"boot_aggregate": boot_aggregate} | {
            name: hashlib.sha256(content).digest() for name, content in self.files.items()
        }
        return tuple((_ima_ng(digest, name), name, digest) for name, digest in digests.items())


def _action(index: int, text: bytes) -> Measured:
    return Measured(index, _ACTION, text, text)


def _variable(variable: tuple[bytes, str, bytes]) -> bytes:
    """UEFI_VARIABLE_DATA."""
    vendor, name, content = variable
    sizes = struct.pack("<QQ", len(name), len(content))
    return vendor + sizes + name.encode("utf-16-le") + content


def _image(path: str) -> bytes:
    """UEFI_IMAGE_LOAD_EVENT of a file."""
    name = path.encode("utf-16-le") + b"\0\0"
    nodes = struct.pack("<BBH", 4, 4, 4 + len(name)) + name + bytes.fromhex("7fff0400")
    return struct.pack("<QQQQ", 0, 0, 0, len(nodes)) + nodes


def _ima_ng(digest: bytes, name: str) -> bytes:
    first, second = b"sha256:\0" + digest, name.encode() + b"\0"
    return struct.pack("<I", len(first)) + first + struct.pack("<I", len(second)) + second


def write_event_log(events: Sequence[Measured]) -> bytes:
    """A crypto-agile log (PC Client Platform Firmware Profile, 10.2.2)."""
    sizes = {bank: hashlib.new(bank).digest_size for bank in BANKS}
    spec = b"Spec ID Event03\0" + struct.pack("<IBBBBI", 0, 0, 2, 0, 2, len(BANKS))
    spec += b"".join(struct.pack("<HH", BANKS[bank], sizes[bank]) for bank in BANKS) + b"\0"
    log = struct.pack("<II20sI", 0, _NO_ACTION, bytes(20), len(spec)) + spec
    for event in events:
        digests = b"".join(
            struct.pack("<H", BANKS[bank]) + digest for bank, digest in event.digests().items()
        )
        log += struct.pack("<III", event.index, event.type, len(BANKS)) + digests
        log += struct.pack("<I", len(event.data)) + event.data
    return log


def write_ima_log(entries: Sequence[tuple[bytes, str, bytes]]) -> bytes:
    """``ascii_runtime_measurements``, template ima-ng."""
    lines = (
        f"{_IMA_REGISTER} {hashlib.sha1(template).hexdigest()} ima-ng "  # noqa: S324 - the format
        f"sha256:{digest.hex()} {name}\n"
        for template, name, digest in entries
    )
    return "".join(lines).encode()


def boot_aggregate(registers: Mapping[int, bytes]) -> bytes:
    """The digest of PCR 0 to 9 of the SHA-256 bank, which starts an IMA log."""
    return hashlib.sha256(b"".join(registers[index] for index in range(10))).digest()

# SPDX-License-Identifier: Apache-2.0
"""An SEV-SNP report as guests spell it in JSON, back in the bytes that the processor signed.

The names are those that guest components have used over time; the order is that of AMD 56860,
table 23. A report that is put together wrongly has a wrong signature.
"""

from __future__ import annotations

from collections.abc import Mapping

from accord.encoding import JSONValue
from accord.errors import MalformedError

REPORT_BYTES = 1184
_NUMBER_BYTES = 72
_WHAT = "attestation_report"


def write_report(value: JSONValue) -> bytes:
    """The report that ``value`` spells; what it leaves out is zero. Raises ``MalformedError``."""
    found = _Spelt(value, _WHAT)
    layout: tuple[tuple[int, bytes], ...] = (
        (0x000, found.little(4, "version")),
        (0x004, found.little(4, "guest_svn")),
        (0x008, found.little(8, "policy")),
        (0x010, found.data(16, "family_id")),
        (0x020, found.data(16, "image_id")),
        (0x030, found.little(4, "vmpl")),
        (0x034, found.little(4, "sig_algo")),
        (0x038, found.tcb("current_tcb")),
        (0x040, found.little(8, "plat_info")),
        (0x048, found.little(4, "key_info", "_author_key_en")),
        (0x050, found.data(64, "report_data")),
        (0x090, found.data(48, "measurement")),
        (0x0C0, found.data(32, "host_data")),
        (0x0E0, found.data(48, "id_key_digest")),
        (0x110, found.data(48, "author_key_digest")),
        (0x140, found.data(32, "report_id")),
        (0x160, found.data(32, "report_id_ma")),
        (0x180, found.tcb("reported_tcb")),
        (0x188, found.little(1, "cpuid_fam_id")),
        (0x189, found.little(1, "cpuid_mod_id")),
        (0x18A, found.little(1, "cpuid_step")),
        (0x1A0, found.data(64, "chip_id")),
        (0x1E0, found.tcb("committed_tcb")),
        (0x1E8, found.version("current")),
        (0x1EC, found.version("committed")),
        (0x1F0, found.tcb("launch_tcb")),
        (0x1F8, found.little(8, "launch_mit_vector")),
        (0x200, found.little(8, "current_mit_vector")),
        (0x2A0, found.object("signature").data(_NUMBER_BYTES, "r")),
        (0x2E8, found.object("signature").data(_NUMBER_BYTES, "s")),
    )
    report = bytearray(REPORT_BYTES)
    for at, data in layout:
        report[at : at + len(data)] = data
    return bytes(report)


class _Spelt:
    """A JSON object whose fields may be absent or null: then they are zero."""

    def __init__(self, value: JSONValue, where: str) -> None:
        if not isinstance(value, dict):
            raise MalformedError(what=where, detail="expected an object")
        self._value: Mapping[str, JSONValue] = value
        self._where = where

    def find(self, *names: str) -> JSONValue:
        return next((self._value[name] for name in names if name in self._value), None)

    def object(self, name: str) -> _Spelt:
        return _Spelt(self._value.get(name, {}), f"{self._where}.{name}")

    def little(self, size: int, *names: str) -> bytes:
        value = self.find(*names)
        if value is None:
            return bytes(size)
        if type(value) is not int or not 0 <= value < 1 << (8 * size):
            raise MalformedError(
                what=f"{self._where}.{names[0]}", detail=f"expected a number of {size} bytes"
            )
        return value.to_bytes(size, "little")

    def data(self, size: int, name: str) -> bytes:
        value = self.find(name)
        if value is None:
            return bytes(size)
        return octets(value, f"{self._where}.{name}", size=size)

    def tcb(self, name: str) -> bytes:
        """Eight bytes; of processors with an FMC in another order than of those without."""
        tcb = self.object(name)
        levels = [tcb.little(1, level) for level in ("bootloader", "tee", "snp", "microcode")]
        if tcb.find("fmc") is not None:
            return tcb.little(1, "fmc") + b"".join(levels[:3]) + bytes(3) + levels[3]
        return b"".join(levels[:2]) + bytes(4) + b"".join(levels[2:])

    def version(self, name: str) -> bytes:
        """Build, minor, major, and a byte of nothing: as an object, or as three fields."""
        parts, prefix = (self, f"{name}_") if name not in self._value else (self.object(name), "")
        numbers = [parts.little(1, prefix + part) for part in ("build", "minor", "major")]
        return b"".join(numbers) + b"\0"


def octets(value: JSONValue, where: str, *, size: int | None = None) -> bytes:
    """A list of numbers, each a byte. Raises ``MalformedError``."""
    if (
        not isinstance(value, list)
        or (size is not None and len(value) != size)
        or not all(type(item) is int and 0 <= item <= 0xFF for item in value)  # noqa: PLR2004
    ):
        wanted = "" if size is None else f" of {size}"
        raise MalformedError(what=where, detail=f"expected a list{wanted} of bytes")
    return bytes(value)

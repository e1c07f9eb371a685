# SPDX-License-Identifier: Apache-2.0
"""IMA logs: which files a Linux kernel says that it measured.

Formats and rules: docs/spec/evidence/event-logs.md. A log is unsigned: only the entries that
`replay_until` returns are proved, by a PCR that a quote signed.
"""

from __future__ import annotations

import hashlib
from binascii import unhexlify
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from types import MappingProxyType
from typing import Any, Final, NamedTuple, overload

from accord.errors import EvidenceMalformedError, LogMismatchError
from accord.evidence._reader import Reader
from accord.evidence.tpm._eventlog import REPLAYED_BANKS

MAX_IMA_LOG_BYTES = 16 << 20
"""Largest log: 100,000 entries have about 12 MiB."""

IMA_REGISTER: Final = 10
"""The PCR that kernels extend unless they were built, or told, otherwise."""

BOOT_AGGREGATE: Final = b"boot_aggregate"
"""The name of the first entry: a digest over the PCRs of firmware and boot loader."""

_WHAT = "IMA log"
_REGISTERS = {b"%d" % index: index for index in range(24)}
_HEX_DIGITS_OF_DIGESTS = {40, 64, 96, 128}
_NAME_BYTES = 256  # IMA_EVENT_NAME_LEN_MAX and a NUL (security/integrity/ima/ima.h)
_MAX_TEMPLATE_NAME = 32

_DIGEST_BYTES: Mapping[str, int] = MappingProxyType(
    {
        "sha1": 20,
        "sha224": 28,
        "sha256": 32,
        "sha384": 48,
        "sha512": 64,
        "sha3-256": 32,
        "sha3-384": 48,
        "sha3-512": 64,
    }
)
"""Algorithms of file digests; any other is refused, by name."""


class IMAEntry(NamedTuple):
    """One measured file: ``measured`` is what the kernel hashed, ``digest`` the file's digest.

    A ``violation`` is a file that changed while it was measured; its digest is zeros, its
    signature empty. Nothing of it is measured: whoever writes the log writes its name.
    ``signature`` is the file's ``security.ima`` attribute, not verified.
    """

    register: int
    violation: bool
    measured: bytes
    digest: bytes
    name: bytes
    signature: bytes


Row = tuple[int, bool, bytes, bytes, bytes, bytes]
"""The fields of an `IMAEntry`."""


class IMAEntries(Sequence[IMAEntry]):
    """Entries in order, held by column: a log may have 100,000 of them."""

    __slots__ = ("_columns",)

    def __init__(self, columns: Sequence[Sequence[Any]]) -> None:
        self._columns = tuple(map(tuple, columns))

    @classmethod
    def of(cls, rows: Iterable[Row]) -> IMAEntries:
        return cls(list(zip(*rows, strict=True)) or [()] * len(IMAEntry._fields))

    def rows(self) -> Iterator[Row]:
        """All entries, without an object for each."""
        return zip(*self._columns, strict=True)

    def of_register(self, register: int) -> IMAEntries:
        """Those that extended ``register``."""
        chosen = [index == register for index in self._columns[0]]
        if all(chosen):
            return self
        return IMAEntries([tuple(compress(column, chosen)) for column in self._columns])

    @overload
    def __getitem__(self, at: int) -> IMAEntry: ...
    @overload
    def __getitem__(self, at: slice) -> IMAEntries: ...
    def __getitem__(self, at: int | slice) -> IMAEntry | IMAEntries:
        if isinstance(at, slice):
            return IMAEntries([column[at] for column in self._columns])
        return IMAEntry._make(column[at] for column in self._columns)

    def __len__(self) -> int:
        return len(self._columns[0])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IMAEntries) and self._columns == other._columns

    def __hash__(self) -> int:
        return hash(self._columns)

    def __repr__(self) -> str:
        return f"<{len(self)} IMA entries>"


@dataclass(frozen=True, slots=True)
class IMALog:
    """The entries of a log, in order; replayed by nothing yet."""

    entries: IMAEntries


class _UnknownAlgorithmError(Exception):
    """A file's digest cannot be compared with anything."""


def parse_ima_log(data: bytes) -> IMALog:
    """Takes ``ascii_runtime_measurements`` or ``binary_runtime_measurements`` apart.

    Templates ``ima``, ``ima-ng``, ``ima-sig``, ``ima-buf``, ``ima-ngv2`` and ``ima-sigv2``
    are known. The template digests in the log are not compared: `replay_ima` computes them.
    Raises ``EvidenceMalformedError``, with the number of the entry.
    """
    if len(data) > MAX_IMA_LOG_BYTES:
        raise EvidenceMalformedError(what=_WHAT, detail=f"larger than {MAX_IMA_LOG_BYTES} bytes")
    # A binary log starts with a register as 32-bit number; text has no zeros at all.
    read = _read_binary if data[1:4] == bytes(3) else _read_text
    return IMALog(read(data))


def _refused(number: int, detail: str) -> EvidenceMalformedError:
    return EvidenceMalformedError(what=_WHAT, detail=f"entry {number}: {detail}")


def _show(data: bytes) -> str:
    return data[:_MAX_TEMPLATE_NAME].decode("ascii", "replace")


def _read_text(data: bytes) -> IMAEntries:
    """Lines of register, template digest, template, and the template's fields."""
    registers: list[int] = []
    violations: list[bool] = []
    measured: list[bytes] = []
    digests: list[bytes] = []
    names: list[bytes] = []
    signatures: list[bytes] = []
    lines = data.removesuffix(b"\n").split(b"\n") if data else []
    for number, line in enumerate(lines, 1):
        try:
            register, digest, template, fields = line.lstrip().split(b" ", 3)
            if len(digest) not in _HEX_DIGITS_OF_DIGESTS:
                raise _refused(number, f"a template digest of {len(digest)} hex digits")
            hashed, file_digest, name, signature = _TEMPLATES[template](fields)
            violation = not digest.strip(b"0")
            if violation:
                file_digest, signature = bytes(len(file_digest)), b""
            registers.append(_REGISTERS[register])
            violations.append(violation)
            measured.append(hashed)
            digests.append(file_digest)
            names.append(name)
            signatures.append(signature)
        except _UnknownAlgorithmError as exc:
            raise _refused(number, f"digest algorithm {exc} is not supported") from None
        except KeyError as exc:
            raise _refused(number, f"{_show(exc.args[0])} is not supported") from None
        except ValueError:
            raise _refused(number, "its fields are not those of its template") from None
    return IMAEntries((registers, violations, measured, digests, names, signatures))


_Prefixes = Mapping[bytes, tuple[int, bytes]]


def _prefixes(*kinds: str) -> _Prefixes:
    """By what stands before the digest in ``d-ng``: its size, and the field's first bytes.

    A field is measured as its length, ``algorithm:``, NUL and digest.
    """
    return {
        prefix: (size, (len(prefix) + 2 + size).to_bytes(4, "little") + prefix + b":\0")
        for kind in kinds
        for prefix, size in ((f"{kind}{name}".encode(), size) for name, size in _SIZES)
    }


_SIZES = tuple(_DIGEST_BYTES.items())
_NG, _NGV2 = _prefixes(""), _prefixes("ima:", "verity:")


def _start(prefixes: _Prefixes, prefix: bytes, digest: bytes) -> bytes:
    """What is measured of field ``d-ng`` before ``digest``."""
    known = prefixes.get(prefix)
    if known is None:
        raise _UnknownAlgorithmError(_show(prefix))
    size, start = known
    if len(digest) != size:
        raise ValueError
    return start


_File = tuple[bytes, bytes, bytes, bytes]
"""What the kernel measured, the file's digest, its name, its signature."""


def _parse_ima(fields: bytes) -> _File:
    """``digest name``; a name may contain spaces."""
    digest_hex, name = fields.split(b" ", 1)
    return _file_ima(unhexlify(digest_hex), name)


def _file_ima(digest: bytes, name: bytes) -> _File:
    """The oldest template is measured without lengths, but with a name of fixed size."""
    if len(digest) != _DIGEST_BYTES["sha1"] or len(name) >= _NAME_BYTES:
        raise ValueError
    return digest + name.ljust(_NAME_BYTES, b"\0"), digest, name, b""


def _parse_ng(prefixes: _Prefixes, fields: bytes) -> _File:
    """``algorithm:digest name``; a name may contain spaces."""
    field, name = fields.split(b" ", 1)
    prefix, _, digest_hex = field.rpartition(b":")
    digest = unhexlify(digest_hex)
    length = (len(name) + 1).to_bytes(4, "little")
    measured = b"".join((_start(prefixes, prefix, digest), digest, length, name, b"\0"))
    return measured, digest, name, b""


def _parse_third(prefixes: _Prefixes, fields: bytes) -> _File:
    """A third field in hex, which may be empty: some tools then cut the space before it.

    The kernel writes spaces in names as underscores.
    """
    field, name, *rest = fields.split(b" ")
    if len(rest) > 1:
        raise ValueError
    last = unhexlify(rest[0]) if rest else b""
    measured, digest, name, _ = _parse_ng(prefixes, field + b" " + name)
    return measured + len(last).to_bytes(4, "little") + last, digest, name, last


def _parse_buffer(fields: bytes) -> _File:
    """The third field is what was hashed, no signature."""
    return *_parse_third(_NG, fields)[:3], b""


_TEMPLATES: Mapping[bytes, Callable[[bytes], _File]] = MappingProxyType(
    {
        b"ima": _parse_ima,
        b"ima-ng": partial(_parse_ng, _NG),
        b"ima-sig": partial(_parse_third, _NG),
        b"ima-buf": _parse_buffer,
        b"ima-ngv2": partial(_parse_ng, _NGV2),
        b"ima-sigv2": partial(_parse_third, _NGV2),
    }
)


def _read_binary(data: bytes) -> IMAEntries:
    """Register, SHA-1 template digest, sized template name, template data (little-endian)."""
    return IMAEntries.of(_binary_rows(data))


def _binary_rows(data: bytes) -> Iterator[Row]:
    reader, number = Reader(data, _WHAT), 0
    while reader.left:
        number += 1
        register, digest = reader.number(4), reader.take(_DIGEST_BYTES["sha1"])
        template = reader.sized(4)
        if register >= len(_REGISTERS) or template not in _TEMPLATES:
            raise _refused(number, f"{register} {_show(template)} is not supported")
        try:
            if template == b"ima":
                file = _file_ima(reader.take(_DIGEST_BYTES["sha1"]), reader.sized(4))
            else:
                file = _binary_file(template, reader.sized(4))
        except _UnknownAlgorithmError as exc:
            raise _refused(number, f"digest algorithm {exc} is not supported") from None
        except ValueError:
            raise _refused(number, "its fields are not those of its template") from None
        measured, file_digest, name, signature = file
        if digest.strip(b"\0"):
            yield register, False, measured, file_digest, name, signature
        else:
            yield register, True, measured, bytes(len(file_digest)), name, b""


def _binary_file(template: bytes, measured: bytes) -> _File:
    """Template data are measured as they are: fields, each with its length before it."""
    fields = Reader(measured, _WHAT)
    prefix, _, digest = fields.sized(4).partition(b":\0")
    name = fields.sized(4)
    third = b"" if template in {b"ima-ng", b"ima-ngv2"} else fields.sized(4)
    fields.end()
    prefixes = _NGV2 if template.endswith(b"v2") else _NG
    start = _start(prefixes, prefix, digest)
    if not measured.startswith(start + digest) or not name.endswith(b"\0"):
        raise ValueError
    return measured, digest, name[:-1], b"" if template == b"ima-buf" else third


def replay_ima(log: IMALog, bank: str, *, register: int = IMA_REGISTER) -> bytes:
    """What ``register`` of ``bank`` holds if the whole log is true.

    Raises ``EvidenceMalformedError`` for a bank that is not supported.
    """
    value = bytes(_hash(bank)().digest_size)
    for value in _values(log.entries.of_register(register), bank):  # noqa: B007 - the last
        pass
    return value


def replay_until(
    log: IMALog, value: bytes, *, bank: str, register: int = IMA_REGISTER
) -> IMAEntries:
    """The entries that ``value``, which a quote signed, proves: the first ones of ``log``.

    Files are measured all the time, so a log that was read after the quote has more entries;
    those are left aside, and so are entries of other registers.

    Raises ``LogMismatchError`` where no prefix leads to ``value``, and
    ``EvidenceMalformedError`` for a bank that is not supported.
    """
    entries, replayed = log.entries.of_register(register), b""
    for count, replayed in enumerate(_values(entries, bank), 1):
        if replayed == value:
            return entries[:count]
    raise LogMismatchError(
        what=_WHAT,
        register=f"{bank} PCR {register}",
        actual=replayed.hex() or "nothing",
        expected=value.hex(),
    )


def _hash(bank: str) -> Callable[..., hashlib._Hash]:
    if bank not in REPLAYED_BANKS:
        raise EvidenceMalformedError(what=_WHAT, detail=f"bank {bank} is not supported")
    extend: Callable[..., hashlib._Hash] = getattr(hashlib, bank)
    return extend


def _values(entries: IMAEntries, bank: str) -> Iterator[bytes]:
    """A register after each of its entries; a violation extends 0xFF (ima_add_violation)."""
    extend = _hash(bank)
    value = bytes(extend().digest_size)
    ones = b"\xff" * len(value)
    for _, violation, measured, _, _, _ in entries.rows():
        digest = ones if violation else extend(measured).digest()
        value = extend(value + digest).digest()
        yield value


def check_boot_aggregate(
    entries: Sequence[IMAEntry], registers: Mapping[int, bytes], *, bank: str
) -> bool:
    """Whether the first of the proved ``entries`` joins this boot's PCRs to the log.

    It is the digest of PCR 0 to 7 (SHA-1, Linux before 5.9) or 0 to 9 of a bank. False where
    that is another bank than ``bank``, or ``registers`` lack some: then it is not compared.
    Raises ``LogMismatchError``.
    """
    first = entries[0] if entries else None
    extend = _hash(bank)
    if first is None or first.name != BOOT_AGGREGATE:
        raise EvidenceMalformedError(what=_WHAT, detail="does not start with boot_aggregate")
    if len(first.digest) != extend().digest_size or not registers.keys() >= set(range(8)):
        return False
    candidates = [b"".join(registers[index] for index in range(8))]
    if registers.keys() >= {8, 9}:
        candidates.append(candidates[0] + registers[8] + registers[9])
    expected = [extend(values).digest() for values in candidates]
    if first.digest not in expected:
        raise LogMismatchError(
            what="the boot_aggregate",
            register=f"{bank} PCR 0 to 9",
            actual=first.digest.hex(),
            expected=" or ".join(value.hex() for value in expected),
        )
    return True

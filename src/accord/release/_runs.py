# SPDX-License-Identifier: Apache-2.0
"""Run records by the hundred thousand: each in some 250 bytes, read back when it is asked for."""

from __future__ import annotations

import struct
from collections.abc import Iterator, MutableMapping
from dataclasses import replace
from datetime import UTC, datetime

from accord.encoding import Digest, Fields, canonical_json, parse_json
from accord.identity import Keyset, SealKey, VerifyKey
from accord.release._records import HASH_BYTES, Release
from accord.release._run import RunRecord, RunStatement

_ROW = struct.Struct(">IBQqqq32s32s32s32s")
"""Shape, hashes that are there, index, times and step, keys, nonce, evidence."""

_NUMBER = struct.Struct(">Q")
_NONE = -1
_HASHES = 5
_RUN, _DIGEST = "run-", "sha256:"
_NOBODY = Keyset(VerifyKey(b""), SealKey(b""))


class Runs(MutableMapping[str, RunRecord]):
    """The records of a board's runs by their id, in the order of their releases.

    What all releases of a service have in common, its shape, is kept once. A record that is
    read is a copy; put it back to change it. The attestation result is not kept.
    """

    __slots__ = ("_numbers", "_rows", "_shapes")

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes] = {}
        self._shapes: list[Release] = []
        self._numbers: dict[Release, int] = {}

    def __getitem__(self, run: str) -> RunRecord:
        return self._read(run, self._rows[_key(run)])

    def __setitem__(self, run: str, record: RunRecord) -> None:
        self._rows[_key(run)] = self._row(record)

    def __delitem__(self, run: str) -> None:
        del self._rows[_key(run)]

    def __contains__(self, run: object) -> bool:
        return isinstance(run, str) and _key(run) in self._rows

    def __iter__(self) -> Iterator[str]:
        return (_RUN + key.hex() for key in self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def _row(self, record: RunRecord) -> bytes:
        release = record.release
        hashes = _hashes(release)
        numbers = b"".join(_NUMBER.pack(use.number) for use in release.uses)
        head = _ROW.pack(
            self._shape(release),
            sum(1 << place for place, value in enumerate(hashes) if value is not None),
            record.index,
            _seconds(record.lease_until),
            _seconds(release.lease_until),
            _NONE if release.totp_step is None else release.totp_step,
            release.keyset.verify_key.raw,
            release.keyset.seal_key.raw,
            release.nonce,
            _raw(release.evidence),
        )
        said = b"" if record.statement is None else canonical_json(record.statement.to_json())
        return b"".join([head, *(value for value in hashes if value is not None), numbers, said])

    def _shape(self, release: Release) -> int:
        shape = replace(
            release,
            run="",
            keyset=_NOBODY,
            nonce=b"",
            evidence=Digest(""),
            result=None,
            uses=tuple(replace(use, number=0) for use in release.uses),
            exporter=None,
            token_sha256=None,
            tls_spki_sha256=None,
            totp_step=None,
            lease_until=None,
            reservation=None,
        )
        number = self._numbers.setdefault(shape, len(self._shapes))
        if number == len(self._shapes):
            self._shapes.append(shape)
        return number

    def _read(self, run: str, row: bytes) -> RunRecord:
        number, there, index, lease, first_lease, step, verify, seal, nonce, evidence = (
            _ROW.unpack_from(row)
        )
        shape, at = self._shapes[number], _ROW.size
        hashes: list[bytes | None] = []
        for place in range(_HASHES):
            hashes.append(row[at : at + HASH_BYTES] if there >> place & 1 else None)
            at += HASH_BYTES * (there >> place & 1)
        exporter, token, tls_spki, keyset_tls, reservation = hashes
        uses = []
        for use in shape.uses:
            uses.append(replace(use, number=_NUMBER.unpack_from(row, at)[0]))
            at += _NUMBER.size
        release = replace(
            shape,
            run=run,
            keyset=Keyset(VerifyKey(verify), SealKey(seal), keyset_tls),
            nonce=nonce,
            evidence=_digest(evidence),
            uses=tuple(uses),
            exporter=exporter,
            token_sha256=token,
            tls_spki_sha256=tls_spki,
            totp_step=None if step == _NONE else step,
            lease_until=_time(first_lease),
            reservation=None if reservation is None else _digest(reservation),
        )
        return RunRecord(release, index, _statement(row[at:]), _time(lease))


def _key(run: str) -> bytes:
    """Of what is no run's id, one that no run has."""
    try:
        key = bytes.fromhex(run.removeprefix(_RUN))
    except ValueError:
        return b""
    return key if _RUN + key.hex() == run else b""


def _hashes(release: Release) -> tuple[bytes | None, ...]:
    return (
        release.exporter,
        release.token_sha256,
        release.tls_spki_sha256,
        release.keyset.tls_spki_sha256,
        None if release.reservation is None else _raw(release.reservation),
    )


def _raw(digest: Digest) -> bytes:
    return bytes.fromhex(digest.removeprefix(_DIGEST))


def _digest(raw: bytes) -> Digest:
    return Digest(_DIGEST + raw.hex())


def _statement(data: bytes) -> RunStatement | None:
    if not data:
        return None
    return RunStatement.from_fields(Fields(parse_json(data, what="run"), "run"))


def _seconds(time: datetime | None) -> int:
    return _NONE if time is None else int(time.timestamp())


def _time(seconds: int) -> datetime | None:
    return None if seconds == _NONE else datetime.fromtimestamp(seconds, UTC)

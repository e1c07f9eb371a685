# SPDX-License-Identifier: Apache-2.0
"""The records of one board: each sealed to its place after the one before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from accord.errors import StoreIntegrityError
from accord.service._store import Stored
from accord.service._store_seal import MASK_BYTES, Seal, link

PAGE = 256
"""Entries read at a time: enough to make the query cheap, small enough to hold."""

Changed = Callable[[str], StoreIntegrityError]
"""Makes the error that says what somebody else did to the store."""


@dataclass(slots=True)
class Chain:
    """What is known of a board without reading its records again."""

    size: int = 0
    last: bytes = b""
    """The `link` to the newest record."""

    secrets: dict[bytes, bytes] = field(default_factory=dict)
    """By masked name, the `link` to the record that holds the latest value."""


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """An entry, with what came with it: masks of bodies, masks and links of secrets."""

    objects: tuple[bytes, ...]
    secrets: Mapping[bytes, bytes]
    entry: bytes

    def pack(self) -> bytes:
        counts = len(self.objects).to_bytes(4) + len(self.secrets).to_bytes(4)
        pairs = [part for pair in self.secrets.items() for part in pair]
        return counts + b"".join([*self.objects, *pairs]) + self.entry

    @classmethod
    def unpack(cls, data: bytes) -> Record:
        """The inverse; ``data`` is authentic already."""
        objects, secrets = int.from_bytes(data[:4]), int.from_bytes(data[4:8])
        end = 8 + (objects + 2 * secrets) * MASK_BYTES
        parts = [data[at : at + MASK_BYTES] for at in range(8, end, MASK_BYTES)]
        pairs = parts[objects:]
        return cls(
            tuple(parts[:objects]), dict(zip(pairs[::2], pairs[1::2], strict=True)), data[end:]
        )


@dataclass(frozen=True, slots=True, repr=False)
class SealedBatch:
    """What a store writes for a batch of entries: ciphertexts, and the chain afterwards."""

    entries: tuple[bytes, ...]
    objects: Mapping[bytes, bytes]
    """By masked digest."""

    secrets: Mapping[bytes, bytes]
    """By masked name; the last value where a batch has several."""

    size: int
    last: bytes

    def extend(self, chain: Chain) -> None:
        """Takes the batch into what is known; only after the disk has it."""
        chain.size, chain.last = self.size, self.last
        chain.secrets.update({mask: link(sealed) for mask, sealed in self.secrets.items()})


def seal_batch(seal: Seal, board: str, chain: Chain, batch: Sequence[Stored]) -> SealedBatch:
    """The records of ``batch``, to come after ``chain``, which is not changed."""
    entries: list[bytes] = []
    objects: dict[bytes, bytes] = {}
    secrets: dict[bytes, bytes] = {}
    last = chain.last
    for index, stored in enumerate(batch, chain.size):
        masks = []
        for digest, body in stored.objects.items():
            mask = seal.mask("object", board, digest)
            masks.append(mask)
            if mask not in objects:
                objects[mask] = seal.seal(body, "object", board, mask.hex())
        links = {}
        for name, value in stored.secrets.items():
            mask = seal.mask("secret", board, name)
            secrets[mask] = seal.seal(value, "secret", board, mask.hex())
            links[mask] = link(secrets[mask])
        record = Record(tuple(masks), links, stored.entry).pack()
        entries.append(seal.seal(record, "entry", board, index, last.hex()))
        last = link(entries[-1])
    return SealedBatch(tuple(entries), objects, secrets, chain.size + len(batch), last)


def open_record(
    seal: Seal, board: str, index: int, sealed: object, *, previous: bytes, changed: Changed
) -> Record:
    """The record at ``index`` if it comes after the one that ``previous`` links to.

    Raises what ``changed`` makes where it is another one.
    """
    plaintext = None
    if isinstance(sealed, bytes):
        plaintext = seal.open(sealed, "entry", board, index, previous.hex())
    if plaintext is None:
        raise changed("a record of kind entry is missing or not genuine")
    return Record.unpack(plaintext)


def follow(
    seal: Seal, board: str, chain: Chain, rows: Iterable[bytes], *, changed: Changed
) -> set[bytes]:
    """Takes the next sealed records into ``chain``; returns the masks of their bodies."""
    objects: set[bytes] = set()
    for sealed in rows:
        record = open_record(seal, board, chain.size, sealed, previous=chain.last, changed=changed)
        objects.update(record.objects)
        chain.secrets.update(record.secrets)
        chain.size, chain.last = chain.size + 1, link(sealed)
    return objects

# SPDX-License-Identifier: Apache-2.0
"""A backup is what docs/spec/backup.md says: read by a second reader, written from that page."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tests.support.backups import root_of, shares_of
from tests.support.recovering import VALUE, prepared

from accord.client import backup_key_context
from accord.identity import open_sealed


def hkdf(key: bytes, *, salt: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256, for 32 bytes."""
    extracted = hmac.digest(salt or bytes(32), key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def canonical(document: object) -> bytes:
    """RFC 8785 of documents that hold ASCII and integers alone."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def take(data: bytes, size: int) -> tuple[bytes, bytes]:
    return data[:size], data[size:]


def sized(data: bytes) -> tuple[bytes, bytes]:
    length, data = take(data, 4)
    return take(data, int.from_bytes(length))


def part(data: bytes, key: bytes, *, name: str, header: bytes) -> tuple[bytes, bytes]:
    """What a part holds, and what follows it."""
    digest = f"sha256:{hashlib.sha256(header).hexdigest()}"
    info = canonical({"header": digest, "part": name})
    cipher = AESGCM(hkdf(key, salt=b"accord/backup/v1", info=info))
    plain, number = b"", 0
    while True:
        chunk, data = sized(data)
        for last in (0, 1 << 31):
            try:
                plain += cipher.decrypt(bytes(8) + (number | last).to_bytes(4), chunk, None)
            except InvalidTag as exc:
                if last:
                    raise AssertionError from exc
                continue
            if last:
                return plain, data
            break
        number += 1


def records(data: bytes) -> list[tuple[str, str, bytes]]:
    found = []
    while data:
        kind, data = take(data, 1)
        length, data = take(data, 2)
        name, data = take(data, int.from_bytes(length))
        value, data = sized(data)
        found.append((kind.decode(), name.decode(), value))
    return found


def test_a_backup_is_what_its_page_says(tmp_path: Path) -> None:
    """Header, two parts, their keys and nonces, the records; and nothing behind them."""
    board = prepared(tmp_path)
    data = board.back_up(tmp_path / "b.backup").read_bytes()
    header, rest = sized(data)
    shown = json.loads(header)
    assert canonical(shown) == header
    assert (shown["schema"], shown["board"]) == ("accord.backup.v1", board.board)
    identity = board.identity("bob")
    holder, backup = identity.signer.key_id, bytes.fromhex(shown["backup"])
    key = open_sealed(
        base64.b64decode(shown["keys"][holder]),
        identity.seal_private_key,
        purpose="backup-key",
        context=backup_key_context(board.board, backup, holder),
    )
    log, rest = part(rest, key, name="log", header=header)
    entries = [value for kind, _, value in records(log) if kind == "e"]
    assert len(entries) == shown["size"]
    assert [json.loads(entry)["index"] for entry in entries] == [*range(len(entries))]
    assert {kind for kind, _, _ in records(log)} == {"e", "o"}

    root = root_of(board, shares_of(board), "ann", "cid").secret
    info = canonical({"board": board.board, "epoch": shown["epoch"], "purpose": "backup"})
    secrets_key = hkdf(root, salt=backup, info=info)
    secrets, rest = part(rest, secrets_key, name="secrets", header=header)
    assert {kind for kind, _, _ in records(secrets)} == {"s"}
    values = [
        base64.b64encode(VALUE) in value or VALUE in value for _, _, value in records(secrets)
    ]
    assert any(values)
    assert rest == b""

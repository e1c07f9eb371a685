# SPDX-License-Identifier: Apache-2.0
"""The checked-in volume, read by the library and by a second reader made from the specification.

Everything above the line "the library" uses the specification, `hashlib`, `json` and
`cryptography`, and nothing of accord.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from accord.errors import AccordError
from accord.volumes import LocalStore, VolumeId, VolumeKey, verify_volume

VECTORS = Path(__file__).parents[2] / "vectors" / "volume"
EXPECTED = json.loads((VECTORS / "volume.json").read_text())


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256, for 32 bytes: one block of expansion."""
    extracted = hmac.digest(salt or bytes(32), secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def fetch(store: Path, digest: str) -> bytes:
    """Section 2: an object by its digest."""
    name = digest.removeprefix("sha256:")
    data = (store / "objects" / name[:2] / name).read_bytes()
    assert hashlib.sha256(data).hexdigest() == name
    return data


def decrypt(data: bytes, key: bytes, volume_id: str, kind: int) -> tuple[bytes, int]:
    """Section 4: the plaintext of an object, and its chunk size."""
    header = data[:48]
    assert header[:12] == b"ACCORDV1" + bytes((1, kind, 0, 0))
    size, salt = int.from_bytes(header[12:16], "big"), header[16:48]
    count, rest = divmod(len(data) - 48, size + 16)
    assert rest == 0
    assert count * size % 65536 == 0
    info = b"accord/volume/v1|AES-256-GCM|" + volume_id.encode()
    cipher, plaintext = AESGCM(hkdf(key, salt, info)), b""
    for number in range(count):
        start = 48 + number * (size + 16)
        aad = header + bytes.fromhex(volume_id[4:]) + number.to_bytes(8, "big")
        aad += bytes((number == count - 1,)) + size.to_bytes(4, "big")
        assert len(aad) == 77
        chunk = data[start : start + size + 16]
        plaintext += cipher.decrypt(number.to_bytes(12, "big"), chunk, aad)
    return plaintext, size


def read(store: Path, key: bytes, volume_id: str, tag: str) -> dict[str, tuple[str, bytes]]:
    """Sections 5 to 7: every file with its mode."""
    assert (store / "head").read_bytes() == tag.encode() + b"\n"
    commit = json.loads(fetch(store, tag))
    assert set(commit) == {
        "schema", "algorithm", "volume_id", "sequence", "index", "key_commitment",
    }  # fmt: skip
    assert (commit["schema"], commit["volume_id"]) == ("accord.volume-commit.v1", volume_id)
    committed = hkdf(key, b"", b"accord/volume/v1|key-commitment|" + volume_id.encode())
    assert commit["key_commitment"] == "sha256:" + hashlib.sha256(committed).hexdigest()
    plaintext, size = decrypt(fetch(store, commit["index"]), key, volume_id, 2)
    assert size == 65536
    length = int.from_bytes(plaintext[:8], "big")
    assert not any(plaintext[8 + length :])
    index = json.loads(plaintext[8 : 8 + length])
    assert index["schema"] == "accord.volume-index.v1"
    assert (index["volume_id"], index["sequence"]) == (volume_id, 1)
    stream = b""
    for item in index["segments"]:
        plaintext, size = decrypt(fetch(store, item["digest"]), key, volume_id, 1)
        assert len(plaintext) == item["chunks"] * size == item["chunks"] * index["chunk_size"]
        stream += plaintext
    found = {}
    for item in index["files"]:
        end = item["offset"] + item["size"]
        mode = "0755" if item["executable"] else "0644"
        found[item["path"]] = (mode, stream[item["offset"] : end])
    return found


def test_second_reader_agrees_with_the_vectors() -> None:
    """The specification suffices to read a volume."""
    found = read(
        VECTORS / "store",
        bytes.fromhex(EXPECTED["volume_key"]),
        EXPECTED["volume_id"],
        EXPECTED["tag"],
    )
    expected = {item["path"]: (item["mode"], item["sha256"]) for item in EXPECTED["files"]}
    hashed = {
        path: (mode, hashlib.sha256(data).hexdigest()) for path, (mode, data) in found.items()
    }
    assert hashed == expected
    assert len(expected) == 5


def test_second_reader_agrees_with_a_fresh_volume(bench: Any, tmp_path: Path) -> None:
    """Several objects, other sizes, real randomness."""
    files = {"a": b"1" * 70_000, "b/c": b"2" * 7, "d": bytes(200_000)}
    bench.fill(files)
    bench.store = LocalStore(tmp_path / "store")
    version = bench.seal()
    found = read(tmp_path / "store", bench.key.raw, bench.volume_id, version.tag)
    assert {path: data for path, (_, data) in found.items()} == files


# --- the library ------------------------------------------------------------------------------


def verify(store: Path, **changes: str) -> None:
    values = EXPECTED | changes
    verify_volume(
        LocalStore(store),
        key=VolumeKey(bytes.fromhex(values["volume_key"])),
        volume_id=VolumeId(values["volume_id"]),
        tag=values["tag"],
    )


def test_library_reads_the_vectors() -> None:
    """What was sealed by an earlier release opens."""
    verify(VECTORS / "store")


def test_generator_makes_the_same_bytes(tmp_path: Path) -> None:
    """With the same randomness, sealing is deterministic, so the writer has not changed."""
    spec = importlib.util.spec_from_file_location("generate", VECTORS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.generate(tmp_path)

    def tree(root: Path) -> dict[str, bytes]:
        wanted = [*root.glob("store/**/*"), root / "volume.json", root / "flaws.json"]
        return {str(path.relative_to(root)): path.read_bytes() for path in wanted if path.is_file()}

    assert tree(tmp_path) == tree(VECTORS)


def path_of(store: Path, kind: str) -> Path:
    """The file that holds that object."""
    if kind == "head":
        return store / "head"
    tag = EXPECTED["tag"]
    index = json.loads(fetch(store, tag))["index"]
    names = {"commit": tag[7:], "index": index[7:]}
    data = {path.name for path in store.glob("objects/*/*")} - set(names.values())
    name = names.get(kind) or data.pop()
    return store / "objects" / name[:2] / name


@pytest.mark.parametrize(
    "flaw", json.loads((VECTORS / "flaws.json").read_text()), ids=lambda flaw: flaw["name"]
)
def test_flaw_is_refused_with_its_code(tmp_path: Path, flaw: dict[str, Any]) -> None:
    """Each flaw has one code."""
    shutil.copytree(VECTORS / "store", tmp_path / "store")
    changes = {"volume_key": flaw["key"]} if "key" in flaw else {}
    if "volume_id" in flaw:
        changes["volume_id"] = flaw["volume_id"]
    if "object" in flaw:
        path = path_of(tmp_path / "store", flaw["object"])
        data = bytearray(path.read_bytes())
        if "flip" in flaw:
            data[flaw["flip"]] ^= 1
        path.write_bytes(data[: len(data) - flaw.get("truncate", 0)])
        if "drop" in flaw:
            path.unlink()
    with pytest.raises(AccordError) as caught:
        verify(tmp_path / "store", **changes)
    assert caught.value.code == flaw["code"]

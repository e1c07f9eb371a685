# SPDX-License-Identifier: Apache-2.0
"""The cache: what goes in was verified, what comes out is what went in, or nothing."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.collateral.vendors import NOW, Intel, items, nvidia_files, snp_files

from accord.collateral import (
    CollateralCache,
    Entry,
    Piece,
    cached_endorsements,
    certify,
    known_certificates,
    with_endorsements,
)
from accord.encoding import sha256
from accord.errors import CollateralCacheError, CollateralMissingError, EvidenceMalformedError
from accord.evidence import Evidence, verify_unbound
from accord.policy import Family
from accord.testing import SimulatedNVIDIA, SimulatedSNP

PIECE = Piece(
    key="test/thing",
    data=b"data",
    chain=b"chain",
    root=sha256(b"root"),
    not_before=NOW,
    not_after=NOW + timedelta(days=30),
)


def test_a_platforms_collateral_is_found_again(intel: Intel, cache: CollateralCache) -> None:
    """A quote without endorsements verifies with what the cache holds for its platform."""
    entries = cache.add(certify(items(intel.bundle), anchors=intel.anchors))
    evidence = intel.evidence()
    found = cached_endorsements(evidence, cache, now=NOW)

    assert len(entries) == 4
    whole = with_endorsements(evidence, found)
    assert verify_unbound(whole, anchors=intel.anchors, now=NOW).claims.tcb_status == "UpToDate"


def test_a_chips_certificates_are_found_again(amd: SimulatedSNP, cache: CollateralCache) -> None:
    """By product, chip and TCB version; the host's own endorsements suffice as well."""
    evidence, vcek, chain = snp_files(amd)
    cache.add(certify(items(vcek, chain), anchors=amd.anchors))
    whole = with_endorsements(evidence, cached_endorsements(evidence, cache, now=NOW))

    assert verify_unbound(whole, anchors=amd.anchors, now=NOW).claims.family is Family.SNP
    empty = CollateralCache(cache.path / "empty")
    assert dict(cached_endorsements(whole, empty, now=NOW)) == {}


def test_a_gpus_manifests_are_found_again(nvidia: SimulatedNVIDIA, cache: CollateralCache) -> None:
    """By chip and version, with the root that the manifests do not carry."""
    evidence, given = nvidia_files(nvidia)
    files = [given[name] for name in ("driver_rim", "vbios_rim", "rim_root") if name in given]
    cache.add(certify(items(*files), anchors=nvidia.anchors))
    found = cached_endorsements(evidence, cache, now=NOW)

    assert {"driver_rim", "vbios_rim"} <= found.keys()
    whole = with_endorsements(evidence, found)
    assert verify_unbound(whole, anchors=nvidia.anchors, now=NOW).claims.family is Family.NVIDIA


def test_what_is_missing_is_named(intel: Intel, amd: SimulatedSNP, cache: CollateralCache) -> None:
    """The key that was looked for, and the cache."""
    with pytest.raises(CollateralMissingError, match=r"intel/tcb-info/tdx/[0-9a-f]{12} in the"):
        cached_endorsements(intel.evidence(), cache, now=NOW)
    with pytest.raises(CollateralMissingError, match=r"amd/vcek/\w+/[0-9a-f]+/[0-9a-f]{16}"):
        cached_endorsements(snp_files(amd)[0], cache, now=NOW)
    with pytest.raises(EvidenceMalformedError):
        cached_endorsements(Evidence(Family.TDX, b"no quote"), cache, now=NOW)
    assert dict(cached_endorsements(Evidence(Family.KEYSTONE, b""), cache, now=NOW)) == {}


def test_the_newest_that_is_valid_is_taken(cache: CollateralCache) -> None:
    """An older import never displaces a newer one, and old moments find the old."""
    later = replace(
        PIECE,
        data=b"later",
        not_before=NOW + timedelta(days=10),
        not_after=NOW + timedelta(days=40),
    )
    cache.add([later])
    cache.add([PIECE])

    def at(days: int) -> bytes:
        found = cache.find("test/thing", now=NOW + timedelta(days=days))
        assert found is not None
        return found.data

    assert [at(days) for days in (1, 20, 35, 99)] == [b"data", b"later", b"later", b"later"]
    assert cache.find("test/other", now=NOW) is None


def test_a_piece_comes_back_whole(cache: CollateralCache) -> None:
    """Also one without a chain."""
    alone = replace(PIECE, key="test/alone", chain=b"")
    entries = cache.add([PIECE, alone])

    assert [PIECE, alone] == [cache.load(entry) for entry in entries]
    assert len(cache.entries()) == 2


def test_two_writers_lose_nothing(cache: CollateralCache) -> None:
    """Whoever comes second waits, and keeps what the first wrote."""
    pieces = [replace(PIECE, key=f"test/{index}", data=bytes([index])) for index in range(8)]
    threads = [threading.Thread(target=cache.add, args=([piece],)) for piece in pieces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {piece.key for piece in pieces} == {entry.key for entry in cache.entries()}


def test_a_changed_file_is_not_used(cache: CollateralCache) -> None:
    """Its name is the digest of what it must hold; importing again repairs it."""
    (entry,) = cache.add([PIECE])
    file = cache.path / "sha256" / entry.data.removeprefix("sha256:")
    file.write_bytes(b"other")
    with pytest.raises(CollateralCacheError, match="has other bytes"):
        cache.load(entry)
    cache.add([PIECE])
    assert cache.load(entry) == PIECE
    file.unlink()
    with pytest.raises(CollateralCacheError, match="No such file"):
        cache.load(entry)


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"{}",
        b'{"entries":[],"schema":"accord.other.v1"}',
        b'{"entries":7,"schema":"accord.collateral-index.v1"}',
        b'{"entries":[{}],"schema":"accord.collateral-index.v1"}',
        b'{"entries":[],"more":1,"schema":"accord.collateral-index.v1"}',
    ],
)
def test_a_damaged_index_is_not_used(cache: CollateralCache, index: bytes) -> None:
    """Nor is it silently replaced."""
    cache.path.mkdir()
    (cache.path / "index.json").write_bytes(index)
    with pytest.raises(CollateralCacheError):
        cache.entries()
    with pytest.raises(CollateralCacheError):
        cache.add([PIECE])


def test_an_index_that_cannot_be_read_is_an_error(cache: CollateralCache) -> None:
    """Something else than an empty cache."""
    (cache.path / "index.json").mkdir(parents=True)
    with pytest.raises(CollateralCacheError, match="directory"):
        cache.entries()


def test_a_failed_write_leaves_nothing_behind(
    cache: CollateralCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: the index is the old one, and no half file stays."""
    cache.add([PIECE])

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        cache.add([replace(PIECE, key="test/other", data=b"other")])

    assert [entry.key for entry in cache.entries()] == ["test/thing"]
    assert list(cache.path.rglob("*.part")) == []


def test_known_certificates_complete_chains(amd: SimulatedSNP, cache: CollateralCache) -> None:
    """A leaf alone is certified with what the cache has."""
    _, vcek, chain = snp_files(amd)
    cache.add(certify(items(chain), anchors=amd.anchors))
    known = known_certificates(cache)
    (piece,) = certify(items(vcek), anchors=amd.anchors, known=known)

    assert piece.key.startswith("amd/vcek/")
    assert known_certificates(CollateralCache(cache.path / "none")) == ()


def test_an_entry_is_what_it_was_written_as() -> None:
    """Round trip of one line of the index."""
    entry = Entry("a/b", sha256(b"1"), None, sha256(b"2"), NOW, NOW)
    assert "chain" not in entry.to_json()


# --- attacks --------------------------------------------------------------------------------


def test_collateral_of_another_root_displaces_nothing(cache: CollateralCache) -> None:
    """Whoever imports newer collateral under a root of their own breaks nobody else's."""
    other = replace(
        PIECE,
        data=b"of another root",
        root=sha256(b"other root"),
        not_before=NOW + timedelta(days=1),
    )
    cache.add([PIECE, other])
    later = NOW + timedelta(days=2)

    assert cache.find(PIECE.key, now=later, anchors=[PIECE.root]) == PIECE
    assert cache.find(PIECE.key, now=later, anchors=[other.root]) == other
    assert cache.find(PIECE.key, now=later, anchors=[sha256(b"nobody")]) is None
    assert cache.find(PIECE.key, now=later, anchors=[]) is None


def test_the_same_bytes_under_two_roots_are_two_entries(cache: CollateralCache) -> None:
    """The second import takes nothing from those who trust the first root."""
    other = replace(PIECE, root=sha256(b"other root"))
    cache.add([PIECE])
    cache.add([other])

    assert cache.find(PIECE.key, now=NOW, anchors=[PIECE.root]) == PIECE
    assert cache.find(PIECE.key, now=NOW, anchors=[other.root]) == other


@pytest.mark.parametrize("kind", ["pipe", "link to a device", "link to a file", "folder"])
def test_what_is_no_plain_file_is_not_opened(
    cache: CollateralCache, kind: str, tmp_path: Path
) -> None:
    """A pipe would block for ever, a device never end; importing again repairs a file."""
    (entry,) = cache.add([PIECE])
    data, index = cache.path / "sha256" / entry.data[7:], cache.path / "index.json"
    for path in (data, index):
        content = path.read_bytes()
        path.unlink()
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "link to a file":
            (tmp_path / path.name).write_bytes(content)
            path.symlink_to(tmp_path / path.name)
        else:
            path.symlink_to("/dev/zero")
    with pytest.raises(CollateralCacheError):
        cache.load(entry)
    with pytest.raises(CollateralCacheError):
        cache.entries()
    if kind == "folder":
        return
    index.unlink()
    cache.add([PIECE])
    assert cache.load(entry) == PIECE


def test_a_file_that_is_too_large_is_not_read_whole(
    cache: CollateralCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is an index: a sparse file costs whoever planted it nothing."""
    (entry,) = cache.add([PIECE])
    with (cache.path / "sha256" / entry.data[7:]).open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(CollateralCacheError, match="it holds more than 33554432 bytes"):
        cache.load(entry)
    with (cache.path / "index.json").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(CollateralCacheError, match="it holds more than 16777216 bytes"):
        cache.entries()


def test_a_lock_that_is_a_link_makes_no_file_elsewhere(
    cache: CollateralCache, tmp_path: Path
) -> None:
    """A dangling link in a folder that others can write to names a victim's file."""
    cache.path.mkdir()
    (cache.path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic link"):
        cache.add([PIECE])
    assert not (tmp_path / "victim").exists()


def test_a_lock_that_is_a_pipe_blocks_nobody(cache: CollateralCache) -> None:
    """It can be locked as any other file."""
    cache.path.mkdir()
    os.mkfifo(cache.path / "lock")
    cache.add([PIECE])
    assert len(cache.entries()) == 1

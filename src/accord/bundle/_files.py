# SPDX-License-Identifier: Apache-2.0
"""The bundle as a folder (docs/spec/bundle.md): a manifest, and exactly the files it lists."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from accord.encoding import (
    Digest,
    Fields,
    JSONValue,
    canonical_json,
    parse_canonical_json,
    parse_digest,
    sha256,
)
from accord.errors import AccordError, BundleExistsError, BundleFileError
from accord.release import parse_run_id

SCHEMA = "accord.bundle.v2"
MANIFEST = "manifest.json"
CHECKPOINT = "checkpoint"

MAX_FILES = 100_000
MAX_FILE_BYTES = 4 << 20
MAX_MANIFEST_BYTES = 16 << 20
"""Sizes beyond which a bundle is not read: a manifest line has about 110 bytes."""

_NAME = re.compile(
    r"checkpoint|(lineage|run)\.intoto\.json|(release|run)\.tlog-proof|witnesses\.tlog-policy"
    r"|entries/\d{8}\.json|objects/[0-9a-f]{64}"
)


def entry_name(index: int) -> str:
    return f"entries/{index:08d}.json"


def object_name(digest: Digest) -> str:
    return f"objects/{digest.removeprefix('sha256:')}"


@dataclass(frozen=True, slots=True)
class BundleFiles:
    """The bytes of a bundle, each file as its manifest says; what they mean is not checked."""

    board: Digest
    run: str
    files: Mapping[str, bytes]

    def manifest(self) -> JSONValue:
        return {
            "schema": SCHEMA,
            "board": self.board,
            "run": self.run,
            "files": {name: sha256(data) for name, data in self.files.items()},
        }

    def write(self, path: Path) -> None:
        """Writes the bundle whole or not at all, replacing an older bundle at ``path``.

        Raises ``BundleExistsError`` where anything else is there: nothing is erased then.
        """
        part = path.with_name(path.name + ".part")
        for old, whole in ((path, True), (part, False)):
            if old.exists() and not _replaceable(old, whole=whole):
                raise BundleExistsError(path=old)
        shutil.rmtree(part, ignore_errors=True)
        for name, data in {**self.files, MANIFEST: canonical_json(self.manifest())}.items():
            target = part / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        if path.exists():
            shutil.rmtree(path)
        part.replace(path)

    @classmethod
    def read(cls, path: Path) -> BundleFiles:
        """Reads a bundle. Raises ``BundleFileError`` naming the file and what is wrong."""
        # (1) The manifest has one spelling and no unknown field.
        try:
            data = _read(path, MANIFEST, limit=MAX_MANIFEST_BYTES)
            document = parse_canonical_json(data, what=MANIFEST, limit=MAX_MANIFEST_BYTES)
            board, run, listed = _read_manifest(document)
        except BundleFileError:
            raise
        except AccordError as exc:
            raise BundleFileError(name=MANIFEST, detail=str(exc)) from exc
        # (2) The folder holds those files and nothing else.
        found = _names(path)
        for name in sorted(found - listed.keys() - {MANIFEST}):
            raise BundleFileError(name=name, detail="the manifest does not list it")
        for name in sorted(listed.keys() - found):
            raise BundleFileError(name=name, detail="it is missing")
        # (3) Each has the digest that the manifest says.
        files = {}
        for name, digest in listed.items():
            files[name] = _read(path, name, limit=MAX_FILE_BYTES)
            if sha256(files[name]) != digest:
                raise BundleFileError(name=name, detail="its bytes were changed")
        return cls(board, run, files)


def _read_manifest(document: JSONValue) -> tuple[Digest, str, dict[str, Digest]]:
    fields = Fields(document, MANIFEST)
    fields.schema(SCHEMA)
    board = fields.digest("board")
    run = parse_run_id(fields.take("run"), what=fields.path("run"))
    raw = fields.take("files")
    fields.end()
    if not isinstance(raw, dict) or len(raw) > MAX_FILES:
        raise BundleFileError(name=MANIFEST, detail=f"files must be at most {MAX_FILES} names")
    listed = {}
    for name, digest in raw.items():
        if not _NAME.fullmatch(name):
            raise BundleFileError(name=MANIFEST, detail=f"{name[:100]!r} is no bundle file")
        listed[name] = parse_digest(digest, what=f"{MANIFEST}.files")
    return board, run, listed


def _replaceable(root: Path, *, whole: bool) -> bool:
    """Whether a folder holds nothing but files of a bundle; ``whole``: with its manifest."""
    if root.is_symlink() or not root.is_dir():
        return False
    try:
        names = _names(root)
        if whole:
            data = _read(root, MANIFEST, limit=MAX_MANIFEST_BYTES)
            _read_manifest(parse_canonical_json(data, what=MANIFEST, limit=MAX_MANIFEST_BYTES))
    except AccordError:
        return False
    return all(name == MANIFEST or _NAME.fullmatch(name) for name in names)


def _names(root: Path) -> set[str]:
    names: set[str] = set()
    top = str(root)
    for folder, folders, files in os.walk(top):
        prefix = f"{os.path.relpath(folder, top)}/" if folder != top else ""
        names.update(prefix + name for name in files)
        names.update(prefix + name for name in folders if Path(folder, name).is_symlink())
        if len(names) > MAX_FILES:
            raise BundleFileError(name=root.name, detail=f"more than {MAX_FILES} files")
    return names


def _read(root: Path, name: str, *, limit: int) -> bytes:
    try:
        descriptor = os.open(f"{root}/{name}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise BundleFileError(name=name, detail="it is not a regular file")
            data = _read_up_to(descriptor, min(status.st_size, limit) + 1)
        finally:
            os.close(descriptor)
    except OSError as exc:
        raise BundleFileError(name=name, detail=exc.strerror or "unreadable") from exc
    if len(data) > limit:
        raise BundleFileError(name=name, detail=f"it is larger than {limit} bytes")
    return data


def _read_up_to(descriptor: int, size: int) -> bytes:
    """Without the objects that a file would need: a bundle has as many files as entries."""
    data = os.read(descriptor, size)
    while 0 < len(data) < size:
        more = os.read(descriptor, size - len(data))
        if not more:
            break
        data += more
    return data

# SPDX-License-Identifier: Apache-2.0
"""Collecting what a program wrote; the hostile cases are in tests/attack."""

import os
from pathlib import Path

import pytest

from accord.errors import OutputRefusedError
from accord.shield import _outputs, collect_outputs


def test_regular_files_are_collected_in_order(tmp_path: Path) -> None:
    """Sorted, from all depths, so that a digest over them is stable."""
    for name in ("b", "a/z", "a/deeper/y"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    found = collect_outputs(tmp_path, max_files=5, max_bytes=100)
    assert found == [tmp_path / "a/deeper/y", tmp_path / "a/z", tmp_path / "b"]


def test_limits_are_inclusive(tmp_path: Path) -> None:
    """Exactly as much as allowed is allowed."""
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "b").write_bytes(b"12345")
    assert len(collect_outputs(tmp_path, max_files=2, max_bytes=10)) == 2
    with pytest.raises(OutputRefusedError, match="larger than allowed"):
        collect_outputs(tmp_path, max_files=2, max_bytes=9)


def test_empty_directory_has_no_outputs(tmp_path: Path) -> None:
    """Whether that is enough is for the policy to say."""
    assert collect_outputs(tmp_path, max_files=0, max_bytes=0) == []


@pytest.mark.parametrize("kind", ["missing", "link", "file"])
def test_output_directory_itself_must_be_a_directory(tmp_path: Path, kind: str) -> None:
    """A link in its place would lead the shield anywhere."""
    root = tmp_path / "out"
    if kind == "link":
        root.symlink_to(tmp_path)
    elif kind == "file":
        root.touch()
    with pytest.raises(OutputRefusedError, match="cannot be read"):
        collect_outputs(root, max_files=1, max_bytes=1)


def test_too_deep_output_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nesting cannot exhaust the shield's stack."""
    monkeypatch.setattr(_outputs, "_MAX_DEPTH", 2)
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    with pytest.raises(OutputRefusedError, match="too deep"):
        collect_outputs(tmp_path, max_files=9, max_bytes=9)


def test_unreadable_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be looked at is not skipped."""
    (tmp_path / "closed").mkdir()
    real_open = os.open

    def refusing(path: str, flags: int, *, dir_fd: int | None = None) -> int:
        if path == "closed":
            raise PermissionError(13, "Permission denied")
        return real_open(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(OutputRefusedError, match="cannot be read"):
        collect_outputs(tmp_path, max_files=9, max_bytes=9)


def test_other_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount below the output directory is not the program's own making."""
    (tmp_path / "mounted").mkdir()
    real_stat = os.stat

    def elsewhere(path: str, *, dir_fd: int, follow_symlinks: bool) -> os.stat_result:
        found = real_stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        return os.stat_result((*found[:2], found.st_dev + 1, *found[3:10]))

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", elsewhere)
        with pytest.raises(OutputRefusedError, match="another file system"):
            collect_outputs(tmp_path, max_files=9, max_bytes=9)

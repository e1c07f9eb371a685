# SPDX-License-Identifier: Apache-2.0
"""`accord service backup` and `restore`: what the operator does; neither reads anything."""

from __future__ import annotations

import os
from pathlib import Path

import click

from accord.cli._options import PATH, read_digest, with_output, writing
from accord.cli._output import Output
from accord.errors import FileAccessError

RESTORING = "restoring"
"""Below --state: where `accord service restore` puts backups."""


@click.command()
@click.option("--url", required=True, help="URL of the trust service, on this machine.")
@click.option("--board", required=True, metavar="DIGEST", help="Which board.")
@click.option("--out", "target", type=PATH, required=True, help="The new file.")
@with_output
def backup(out: Output, url: str, board: str, target: Path) -> None:
    """Back a board up while the service runs. The file is ciphertext: keep it anywhere.

    It is sealed to the members and under the board's root secret; alone it opens for nobody.

    \b
    Example: accord service backup --url https://127.0.0.1:8443 --board sha256:… --out b.backup
    """
    from accord.client import download_backup
    from accord.service import read_backup

    part = target.with_name(f".{target.name}.part")
    with writing(target):
        try:
            with part.open("wb") as file:
                for piece in download_backup(url, read_digest(board, option="--board")):
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            header = read_backup(part)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    out.result(
        {"board": header.board, "size": header.size, "epoch": header.epoch, "file": str(target)},
        f"{target}: {header.size} entries of {header.board}, epoch {header.epoch}",
    )


@click.command()
@click.argument("source", type=PATH, metavar="FILE")
@click.option("--state", type=PATH, required=True, help="Folder of the new service's state.")
@with_output
def restore(out: Output, source: Path, state: Path) -> None:
    """Put a backup where `accord service run --state` finds it; members then let it go on.

    That it is whole is checked; only members can find out whether it is genuine and recent.

    \b
    Example: accord service restore b.backup --state trust-service
    """
    from accord.identity import write_whole
    from accord.service import read_backup

    header = read_backup(source)
    folder = state / RESTORING
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = header.board.removeprefix("sha256:")
        write_whole(folder / f"{name}.backup", _bytes(source))
    out.result(
        {"board": header.board, "size": header.size, "epoch": header.epoch},
        f"{header.board}: {header.size} entries; start the service, then members run "
        "`accord recovery show`",
    )


def _bytes(source: Path) -> bytes:
    try:
        return source.read_bytes()
    except OSError as exc:
        raise FileAccessError(action="read", path=source, detail=exc.strerror) from exc

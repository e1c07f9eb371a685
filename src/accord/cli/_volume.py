# SPDX-License-Identifier: Apache-2.0
"""`accord volume`: encrypted storage."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from accord.board import AcceptTag, tag_name
from accord.cli._options import PATH, home_option, service_url, storage_option, with_output, writing
from accord.cli._output import Output
from accord.cli._volume_tags import tag_lines, tags_json
from accord.cli._voting import propose_and_approve
from accord.client import MemberHome, load_ring_entry, seal_asset
from accord.encoding import parse_digest
from accord.errors import FileAccessError, TagAcceptError, UnknownAssetError
from accord.volumes import LocalStore, VolumeVersion, verify_volume


@click.group("volume")
def group() -> None:
    """Encrypted volumes: ciphertext for any storage, the key in your own folder."""


def _show(out: Output, name: str, version: VolumeVersion) -> None:
    out.result(
        {
            "name": name,
            "volume_id": version.volume_id,
            "tag": version.tag,
            "version": version.sequence,
            "files": version.files,
            "bytes": version.size,
        },
        [
            f"volume   {version.volume_id}",
            f"tag      {version.tag}",
            f"version  {version.sequence}, {version.files} files, {version.size} bytes",
        ],
    )


@group.command()
@click.argument("source", type=PATH)
@click.option("--name", required=True, help="Name of the asset, without its owner.")
@click.option("--if-changed", is_flag=True, help="Make no new version of the same bytes.")
@home_option
@storage_option
@with_output
def seal(
    out: Output, source: Path, name: str, home: Path, storage: Path, *, if_changed: bool
) -> None:
    """Seal the file or folder SOURCE as the next version of your asset NAME.

    \b
    Example: accord volume seal records/ --name records --home hospital-a --storage operator
    """
    if not source.exists():
        raise FileAccessError(action="read", path=source, detail="no such file or folder")
    size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    bar = None
    if sys.stderr.isatty() and not out.json:
        bar = click.progressbar(length=max(size, 1), label="sealing", file=sys.stderr)
    with writing(storage):
        version = seal_asset(
            home, name, source, storage, if_changed=if_changed, progress=bar.update if bar else None
        )
    if bar:
        bar.render_finish()
    _show(out, name, version)


@group.command()
@click.argument("name")
@home_option
@storage_option
@with_output
def verify(out: Output, name: str, home: Path, storage: Path) -> None:
    """Read and authenticate every byte that the storage holds of your asset NAME.

    \b
    Example: accord volume verify records --home hospital-a --storage operator
    """
    entry = load_ring_entry(home, name)
    if entry.tag is None:
        raise UnknownAssetError(asset=name)
    version = verify_volume(
        LocalStore(storage / entry.volume_id),
        key=entry.key,
        volume_id=entry.volume_id,
        tag=entry.tag,
    )
    out.fact("every chunk is authentic and of the version sealed last")
    _show(out, name, version)


@group.command()
@home_option
@with_output
def tags(out: Output, home: Path) -> None:
    """Show the live volumes of the board: last tag, who has them open, whose data is inside.

    \b
    Example: accord volume tags --home hospital-a
    """
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
    out.result(tags_json(machine.board), tag_lines(machine.board))


@group.command()
@click.argument("policy")
@click.argument("volume")
@click.option("--tag", help="Go on from this one. Default: the last that was committed.")
@click.option("--empty", is_flag=True, help="Start anew: nothing of the volume is kept.")
@home_option
@with_output
def accept(
    out: Output, policy: str, volume: str, tag: str | None, home: Path, *, empty: bool
) -> None:
    """Propose that a live volume goes on which a run left open, and vote for it.

    That run commits nothing more, even if it still runs. The constitution decides.

    \b
    Example: accord volume accept train state --home hospital-a
    """
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
        record = machine.board.tags.get(tag_name(policy, volume))
        if record is None:
            raise TagAcceptError(
                policy=policy, volume=volume, run="any run", detail="nobody has opened it"
            )
        chosen = record.tag if tag is None else parse_digest(tag, what="--tag")
        action = AcceptTag(policy, volume, record.run, record.number, None if empty else chosen)
        title = f"accept a tag of {record.name}"
        propose_and_approve(out, member, session, machine, action, title=title)

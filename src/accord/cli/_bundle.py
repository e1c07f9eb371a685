# SPDX-License-Identifier: Apache-2.0
"""`accord bundle`: the offline proof of a run."""

from __future__ import annotations

from pathlib import Path

import click

from accord.bundle import verify_bundle
from accord.cli._options import (
    PATH,
    home_option,
    read_digest,
    service_url,
    with_output,
    writing,
)
from accord.cli._output import Output
from accord.errors import FileAccessError


@click.group("bundle")
def group() -> None:
    """Bundles: everything that proves one run, for anybody, offline."""


@group.command()
@click.argument("run")
@click.option("--out", "target", type=PATH, required=True, help="Folder of the bundle.")
@home_option
@with_output
def create(out: Output, run: str, target: Path, home: Path) -> None:
    """Collect the bundle of RUN from the trust service.

    \b
    Example:
      accord bundle create run-0123456789abcdef0123456789abcdef --out bundle --home clinic
    """
    from accord.client import MemberHome
    from accord.jobs import create_bundle

    member = MemberHome.load(home, service=service_url())
    with member.connect() as session, writing(target):
        bundle = create_bundle(member, session, run=run, path=target)
    out.result(
        {"run": run, "board": bundle.board, "files": len(bundle.files) + 1},
        f"{len(bundle.files) + 1} files in {target}",
    )


@group.command()
@click.argument("path", type=PATH)
@click.option("--genesis", help="Genesis digest of the board that you hold.")
@with_output
def verify(out: Output, path: Path, genesis: str | None) -> None:
    """Verify a bundle offline, against the board's genesis digest alone.

    Exit code 3, with the reason, if one byte of any file is not what it should be.

    \b
    Example: accord bundle verify bundle --genesis sha256:…
    """
    pinned = read_digest(genesis, option="--genesis") if genesis is not None else None
    if not path.is_dir():
        raise FileAccessError(action="read", path=path, detail="no such folder")
    report = verify_bundle(path, genesis=pinned)
    for fact in report.facts:
        out.fact(fact)
    for point in report.not_proven:
        out.warn(f"not proven: {point}")
    out.result(
        report.to_json(),
        f"verified: {report.statement.run} {report.statement.outcome.value}"
        f" ({report.statement.assurance.value.upper()})",
    )

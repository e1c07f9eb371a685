# SPDX-License-Identifier: Apache-2.0
"""`accord bundle`: the offline proof of a run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from accord.bundle import (
    BundleFiles,
    ModelOrigin,
    load_model_key,
    load_model_public_key,
    sign_model,
    verify_bundle,
    verify_model,
)
from accord.cli._audit import must_be_folder
from accord.cli._options import (
    PATH,
    home_option,
    read_digest,
    read_file,
    service_url,
    storage_option,
    with_output,
    write_file,
    writing,
)
from accord.cli._output import Output
from accord.client import MemberHome
from accord.errors import ModelSignatureError, NoSuchRunError
from accord.release import Machine, RunStatement


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
    report = verify_bundle(must_be_folder(path), genesis=pinned)
    for fact in report.facts:
        out.fact(fact)
    for point in report.not_proven:
        out.warn(f"not proven: {point}")
    out.result(
        report.to_json(),
        f"verified: {report.statement.run} {report.statement.outcome.value}"
        f" ({report.statement.assurance.value.upper()})",
    )


@group.command()
@click.argument("path", type=PATH)
@with_output
def show(out: Output, path: Path) -> None:
    """List what a bundle holds; only the digests of its files are checked.

    \b
    Example: accord bundle show bundle
    """
    bundle = BundleFiles.read(must_be_folder(path))
    entries = sum(name.startswith("entries/") for name in bundle.files)
    objects = sum(name.startswith("objects/") for name in bundle.files)
    size = sum(map(len, bundle.files.values()))
    out.warn("NOT VERIFIED: `accord bundle verify` checks what it says")
    out.result(
        {
            "schema": "accord.bundle-content.v1",
            "verified": False,
            "board": bundle.board,
            "run": bundle.run,
            "entries": entries,
            "objects": objects,
            "bytes": size,
            "files": {name: len(data) for name, data in sorted(bundle.files.items())},
        },
        [
            f"board    {bundle.board}",
            f"run      {bundle.run}",
            f"entries  {entries}",
            f"objects  {objects}",
            f"bytes    {size}",
        ],
    )


@group.command("sign-model")
@click.argument("run")
@click.argument("output")
@click.option("--key", type=PATH, required=True, help="Your P-256 key, a PEM file.")
@click.option("--out", "target", type=PATH, required=True, help="File of the signature.")
@storage_option
@home_option
@with_output
def sign(
    out: Output, run: str, output: str, key: Path, target: Path, storage: Path, home: Path
) -> None:
    """Sign OUTPUT of RUN for the OpenSSF tool model-signing.

    The output is opened in the version that is in the log, so that what is signed came of
    RUN: that is your word, no evidence says so.

    \b
    Example:
      accord bundle sign-model $RUN model --key key.pem --out model.sig --home clinic
    """
    from accord.jobs import fetch_output

    private = load_model_key(read_file(key))
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
    with tempfile.TemporaryDirectory() as folder:
        opened = Path(folder) / output
        fetch_output(member, machine, run=run, output=output, storage=storage, to=opened)
        tag = next(o.tag for o in _ended(machine, run).outputs if o.name == output)
        origin = ModelOrigin(machine.board.board, run, output, tag)
        signature = sign_model(opened, name=output, origin=origin, key=private)
    write_file(target, signature)
    out.result(origin.to_json(), f"signed: {target}")


def _ended(machine: Machine, run: str) -> RunStatement:
    """Raises ``NoSuchRunError``; for a run whose output was opened there is a statement."""
    record = machine.runs.get(run)
    if record is None or record.statement is None:
        raise NoSuchRunError(run=run)
    return record.statement


@group.command("verify-model")
@click.argument("model", type=PATH)
@click.option("--signature", type=PATH, required=True, help="What `sign-model` wrote.")
@click.option("--key", type=PATH, required=True, help="Public key of the signer, a PEM file.")
@click.option("--bundle", type=PATH, help="Bundle of the run: is there such a result?")
@click.option("--genesis", help="Genesis digest of the board that you hold; for the bundle.")
@with_output
def check(
    out: Output,
    model: Path,
    signature: Path,
    key: Path,
    bundle: Path | None,
    genesis: str | None,
) -> None:
    """Verify that the files in MODEL are those that a reader signed, and of which run.

    \b
    Example:
      accord bundle verify-model model --signature model.sig --key key.pub --bundle bundle
    """
    origin = verify_model(
        must_be_folder(model), read_file(signature), load_model_public_key(read_file(key))
    )
    if bundle is None:
        out.warn("not proven: that there is such a run (--bundle)")
    else:
        pinned = read_digest(genesis, option="--genesis") if genesis is not None else None
        report = verify_bundle(must_be_folder(bundle), genesis=pinned)
        found = {(o.name, o.tag) for o in report.statement.outputs}
        if (origin.board, origin.run) != (report.board, report.statement.run) or (
            (origin.output, origin.tag) not in found
        ):
            raise ModelSignatureError(detail=f"the bundle proves no result {origin.tag}")
        for point in report.not_proven:
            out.warn(f"not proven: {point}")
    out.warn("not proven: that the files are that result: it is the signer's word")
    out.result(origin.to_json(), f"verified: {origin.output} of {origin.run}")

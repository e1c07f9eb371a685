# SPDX-License-Identifier: Apache-2.0
"""`accord board`: genesis and founding."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from accord.board import Genesis, verify_genesis
from accord.cli._options import PATH, home_option, read_file, service_url, with_output, writing
from accord.cli._output import Output, table
from accord.client import MemberHome, TrustSession
from accord.encoding import Envelope, format_time, parse_json
from accord.errors import GenesisError
from accord.identity import FileIdentity, sign_statement, write_whole
from accord.policy import parse_yaml


@click.group("board")
def group() -> None:
    """The board: who decides, by which rules."""


@group.command()
@click.argument("name")
@click.option(
    "--member",
    "members",
    multiple=True,
    required=True,
    metavar="FILE=ROLE",
    help="A founder's identity.json and role; once per founder.",
)
@click.option("--constitution", type=PATH, required=True, help="YAML: the rule of each action.")
@click.option(
    "--trust", type=PATH, required=True, help="JSON of `accord attest reference --role service`."
)
@click.option("--out", "target", type=PATH, required=True, help="The genesis to be signed.")
@with_output
def new(
    out: Output,
    name: str,
    members: tuple[str, ...],
    constitution: Path,
    trust: Path,
    target: Path,
) -> None:
    """Write the genesis of a board; it means nothing before every founder has signed it.

    \b
    Example:
      accord board new screening --member a/identity.json=data-owner \\
        --member lab/identity.json=code-owner --constitution constitution.yaml \\
        --trust service.json --out genesis.json
    """
    listed = []
    for item in members:
        path, _, role = item.rpartition("=")
        identity = parse_json(read_file(Path(path)), what=path)
        listed.append({"identity": identity, "roles": [role]})
    reference = parse_json(read_file(trust), what=str(trust))
    if not isinstance(reference, dict):
        raise GenesisError(detail=f"{trust} is no reference")
    genesis = Genesis.from_json(
        {
            "schema": "accord.genesis.v1",
            "name": name,
            "founded": format_time(datetime.now(UTC)),
            "members": listed,
            "constitution": parse_yaml(read_file(constitution), what=str(constitution)),
            "anchors": reference.get("anchors"),
            "service": reference.get("attestation"),
            "freshness": "solo",
        }
    )
    with writing(target):
        write_whole(target, genesis.to_bytes())
    out.warn("freshness solo: without witnesses a rollback of the trust service goes unseen")
    _show(out, genesis)


@group.command()
@click.argument("genesis", type=PATH)
@home_option
@click.option("--service", required=True, help="URL of the trust service.")
@click.option("--out", "target", type=PATH, required=True, help="Where your signature goes.")
@with_output
def sign(out: Output, genesis: Path, home: Path, service: str, target: Path) -> None:
    """Sign a genesis as one of its founders, and make it the board of your home.

    \b
    Example:
      accord board sign genesis.json --home hospital-a --service https://trust.example:8443 \\
        --out hospital-a.signature.json
    """
    document, identity = Genesis.from_bytes(read_file(genesis)), FileIdentity.load(home)
    listed = document.members.get(identity.public.name)
    if listed is None or listed.identity != identity.public:
        raise GenesisError(detail=f"it does not list {identity.public.name} with these keys")
    envelope = sign_statement("genesis", document.to_json(), [identity.signer])
    with writing(target):
        MemberHome.join(home, document, service)
        write_whole(target, envelope.to_bytes())
    out.fact(f"{identity.public.name} signed board {document.digest}")
    _show(out, document)


@group.command()
@click.argument("signatures", type=PATH, nargs=-1, required=True)
@click.option("--service", required=True, help="URL of the trust service.")
@with_output
def found(out: Output, signatures: tuple[Path, ...], service: str) -> None:
    """Found the board from all its founders' signatures, once the service is attested.

    \b
    Example: accord board found *.signature.json --service https://trust.example:8443
    """
    parts = [
        Envelope.from_bytes(read_file(path, limit=4 << 20), what=str(path)) for path in signatures
    ]
    first = parts[0]
    if any(part.payload != first.payload for part in parts):
        raise GenesisError(detail="the signatures are over different documents")
    merged = {item.key_id: item for part in parts for item in part.signatures}
    envelope = Envelope(first.payload_type, first.payload, tuple(merged.values()))
    genesis = verify_genesis(envelope)
    with TrustSession.attest(service, genesis) as session:
        out.fact("trust service attested")
        session.found(envelope)
    out.fact("board founded")
    _show(out, genesis)


@group.command()
@home_option
@with_output
def show(out: Output, home: Path) -> None:
    """Show the board of your home: members, rules, anchors, freshness.

    \b
    Example: accord board show --home hospital-a
    """
    _show(out, MemberHome.load(home, service=service_url()).genesis)


def _show(out: Output, genesis: Genesis) -> None:
    if any(variant.simulated for variant in genesis.service):
        out.warn("this board accepts a SIMULATED trust service")
    rows = [(m.name, ", ".join(sorted(m.roles))) for m in genesis.members.values()]
    out.result(
        {"digest": genesis.digest, "genesis": genesis.to_json()},
        [
            f"board      {genesis.name}",
            f"digest     {genesis.digest}",
            f"freshness  {genesis.freshness.value}",
            *table(("member", "roles"), rows),
        ],
    )

# SPDX-License-Identifier: Apache-2.0
"""`accord board`: genesis and founding."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from accord.board import (
    Charter,
    Constitution,
    Freshness,
    Genesis,
    Member,
    ReplaceConstitution,
    lint_constitution,
    verify_genesis,
)
from accord.cli import _board_keys, _board_witnesses
from accord.cli._board_witnesses import witness_options, witness_policy
from accord.cli._charter import charter_text, constitution_text, variant_text
from accord.cli._options import (
    PATH,
    confirm,
    home_option,
    read_file,
    service_url,
    with_output,
    write_file,
    writing,
)
from accord.cli._output import Output
from accord.cli._proposal import read_signature
from accord.cli._proposing import make_proposal, proposing_options
from accord.client import MemberHome, TrustSession, Unsigned, read_identity
from accord.encoding import Envelope, Fields, JSONValue, format_time, parse_json
from accord.errors import GenesisError
from accord.evidence import PRODUCTION_ROOTS
from accord.identity import FileIdentity, PublicIdentity, sign_statement, write_whole
from accord.policy import parse_yaml

FOUNDER = "FILE=ROLE[,ROLE][:WEIGHT]"


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
    metavar=FOUNDER,
    help="A founder's identity.json, roles and weight (1 if not said); once per founder.",
)
@click.option("--constitution", type=PATH, required=True, help="YAML: the rule of each action.")
@click.option(
    "--trust", type=PATH, required=True, help="JSON of `accord attest reference --role service`."
)
@click.option("--out", "target", type=PATH, required=True, help="The genesis to be signed.")
@witness_options(needed=False)
@with_output
def new(
    out: Output,
    name: str,
    members: tuple[str, ...],
    constitution: Path,
    trust: Path,
    target: Path,
    witnesses: tuple[str, ...],
    quorum: int | None,
    faulty: int,
) -> None:
    """Write the genesis of a board; it means nothing before every founder has signed it.

    \b
    Example:
      accord board new screening --member a/identity.json=data-owner \\
        --member lab/identity.json=code-owner --constitution constitution.yaml \\
        --trust service.json --out genesis.json \\
        --witness a/witness.json=https://witness.a.example --quorum 1
    """
    reference = parse_json(read_file(trust), what=str(trust))
    if not isinstance(reference, dict):
        raise GenesisError(detail=f"{trust} is no reference")
    genesis = Genesis.from_json(
        {
            "schema": "accord.genesis.v1",
            "name": name,
            "founded": format_time(datetime.now(UTC)),
            "members": [_founder(item) for item in members],
            "constitution": parse_yaml(read_file(constitution), what=str(constitution)),
            "anchors": reference.get("anchors"),
            "service": reference.get("attestation"),
            **_freshness(witnesses, quorum, faulty),
        }
    )
    with writing(target):
        write_whole(target, genesis.to_bytes())
    _show(out, genesis)


def _freshness(witnesses: tuple[str, ...], quorum: int | None, faulty: int) -> dict[str, JSONValue]:
    if not witnesses:
        return {"freshness": "solo"}
    return {"freshness": "witnessed", "witnesses": witness_policy(witnesses, quorum, faulty)}


def _founder(item: str) -> JSONValue:
    path, _, words = item.rpartition("=")
    roles, colon, weight = words.partition(":")
    if not path or (colon and not (weight.isascii() and weight.isdigit())):
        raise click.BadParameter(f"expected {FOUNDER}, found {item!r}", param_hint="--member")
    identity = parse_json(read_file(Path(path)), what=path)
    return {
        "identity": identity,
        "roles": sorted(roles.split(",")),
        "weight": int(weight) if colon else 1,
    }


@group.command()
@click.argument("file", type=PATH)
@click.option(
    "--member",
    "members",
    multiple=True,
    metavar=FOUNDER,
    help="Of a constitution: who would live by it; once per member.",
)
@with_output
def check(out: Output, file: Path, members: tuple[str, ...]) -> None:
    """Check a genesis offline, and show everything that its founders would agree to.

    FILE may be a constitution (YAML), too: with --member it is judged as the rules of those.

    \b
    Example: accord board check genesis.json
    """
    data = read_file(file)
    if b"accord.genesis." in data:
        _show(out, Genesis.from_bytes(data))
        return
    constitution = _read_constitution(file)
    document: dict[str, JSONValue] = {"constitution": constitution.to_json()}
    if members:
        listed = [Member.from_fields(Fields(_founder(item), "member")) for item in members]
        charter = Charter({member.name: member for member in listed}, constitution, ())
        charter.check_rules()
        findings = lint_constitution(charter)
        document["findings"] = [finding.to_json() for finding in findings]
        for finding in findings:
            out.warn(f"{finding.where}: {finding.words}")
    else:
        out.note("without --member nobody knows whether the rules can be satisfied")
    out.result(document, constitution_text(constitution))


def _read_constitution(path: Path) -> Constitution:
    document = parse_yaml(read_file(path), what=str(path))
    return Constitution.from_fields(Fields(document, "constitution"))


@group.command()
@click.argument("genesis", type=PATH)
@click.option("--digest", help="Digest of the genesis that you reviewed (instead of the prompt).")
@home_option
@click.option("--service", required=True, help="URL of the trust service.")
@click.option("--out", "target", type=PATH, required=True, help="Where your signature goes.")
@with_output
def sign(
    out: Output, genesis: Path, digest: str | None, home: Path, service: str, target: Path
) -> None:
    """Sign a genesis as one of its founders, and make it the board of your home.

    It is shown first, and signed only if you name its digest.

    \b
    Example:
      accord board sign genesis.json --home hospital-a --service https://trust.example:8443 \\
        --digest sha256:… --out hospital-a.signature.json
    """
    document, identity = Genesis.from_bytes(read_file(genesis)), FileIdentity.load(home)
    must_list(document, identity.public)
    # Shown on stderr also where the digest was given: stdout is for what was done.
    _warn(out, document)
    for line in genesis_text(document):
        out.note(line)
    confirm(out, digest, document.digest, what="the genesis", shown=())
    envelope = sign_statement("genesis", document.to_json(), [identity.signer])
    with writing(target):
        MemberHome.join(home, document, service)
        write_whole(target, envelope.to_bytes())
    out.fact(f"{identity.public.name} signed board {document.digest}")
    out.result(_document(document), [f"board   {document.name}", f"digest  {document.digest}"])


def must_list(genesis: Genesis, identity: PublicIdentity) -> None:
    """Raises ``GenesisError`` where the identity is no founder."""
    listed = genesis.members.get(identity.name)
    if listed is None or listed.identity != identity:
        raise GenesisError(detail=f"it does not list {identity.name} with these keys")


@group.command()
@click.argument("genesis", type=PATH)
@click.option("-o", "--out", "target", type=PATH, required=True, help="The bytes to be signed.")
@with_output
def prepare(out: Output, genesis: Path, target: Path) -> None:
    """Write the bytes that a founder signs whose key is on another machine, or in a token.

    \b
    Example:
      accord board prepare genesis.json -o genesis.tbs
      openssl pkeyutl -sign -rawin -inkey clinic.pem -in genesis.tbs -out genesis.sig
      accord board attach genesis.tbs --signature genesis.sig \\
        --identity clinic/identity.json --out clinic.signature.json
    """
    document = Genesis.from_bytes(read_file(genesis))
    write_file(target, Unsigned.of("genesis", document.to_json()).to_bytes())
    _show(out, document)


@group.command()
@click.argument("file", type=PATH)
@click.option("--signature", type=PATH, required=True, help="64 bytes, raw or in base64.")
@click.option("--identity", type=PATH, required=True, help="The founder's identity.json.")
@click.option("--out", "target", type=PATH, required=True, help="What `board found` reads.")
@with_output
def attach(out: Output, file: Path, signature: Path, identity: Path, target: Path) -> None:
    """Attach a founder's signature that was made elsewhere; it is verified first.

    \b
    Example:
      accord board attach genesis.tbs --signature genesis.sig \\
        --identity clinic/identity.json --out clinic.signature.json
    """
    unsigned = Unsigned.from_bytes(read_file(file), path=file)
    founder = read_identity(read_file(identity), what=str(identity))
    document = Genesis.from_bytes(unsigned.payload)
    must_list(document, founder)
    envelope = unsigned.finish(read_signature(signature), founder.verify_key)
    with writing(target):
        write_whole(target, envelope.to_bytes())
    out.fact(f"{founder.name} signed board {document.digest}")
    out.result(_document(document), [f"board   {document.name}", f"digest  {document.digest}"])


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


@group.command()
@home_option
@with_output
def constitution(out: Output, home: Path) -> None:
    """Show the rules that are in force, and what is unusual about them.

    \b
    Example: accord board constitution --home hospital-a
    """
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
    charter = machine.board.charter
    findings = lint_constitution(charter)
    for finding in findings:
        out.warn(f"{finding.where}: {finding.words}")
    document: dict[str, JSONValue] = {
        "charter": charter.digest,
        "constitution": charter.constitution.to_json(),
        "findings": [finding.to_json() for finding in findings],
    }
    lines = [f"charter    {charter.digest}", *constitution_text(charter.constitution)]
    out.result(document, lines)


@group.command()
@click.argument("file", type=PATH)
@proposing_options
@home_option
@with_output
def amend(
    out: Output,
    file: Path,
    title: str | None,
    days: int | None,
    offline_out: Path | None,
    home: Path,
) -> None:
    """Propose the constitution in FILE in place of the one in force.

    \b
    Example: accord board amend constitution-2.yaml --title "More notice" --home lab
    """
    rules = _read_constitution(file)
    make_proposal(
        out,
        home,
        lambda _: [ReplaceConstitution(rules)],
        title=title or "another constitution",
        days=days,
        offline_out=offline_out,
    )


for _command in (_board_keys.rotate_keys, *_board_witnesses.COMMANDS):
    group.add_command(_command)


def _show(out: Output, genesis: Genesis) -> None:
    _warn(out, genesis)
    out.result(_document(genesis), genesis_text(genesis))


def _warn(out: Output, genesis: Genesis) -> None:
    if genesis.freshness is Freshness.SOLO:
        out.warn("freshness solo: without witnesses a rollback of the trust service goes unseen")
    if any(variant.simulated for variant in genesis.service):
        out.warn("this board accepts a SIMULATED trust service")
    if any(part.simulated for variant in genesis.service for part in variant.parts.values()):
        out.warn("this board accepts a SIMULATED part of a trust service")


def _document(genesis: Genesis) -> dict[str, JSONValue]:
    findings: list[JSONValue] = [item.to_json() for item in lint_constitution(genesis.charter)]
    return {"digest": genesis.digest, "genesis": genesis.to_json(), "findings": findings}


def genesis_text(genesis: Genesis) -> list[str]:
    """Everything that the genesis says, for whoever is about to sign it."""
    lines = [
        f"board      {genesis.name}",
        f"digest     {genesis.digest}",
        f"founded    {format_time(genesis.founded)}",
        f"freshness  {genesis.freshness.value}",
        *constitution_text(genesis.constitution),
    ]
    for anchor in genesis.anchors:
        lines.append(f"anchor     {anchor}")
        lines.append(f"  {PRODUCTION_ROOTS.get(anchor, 'TEST or UNKNOWN ROOT')}")
    for variant in genesis.service:
        lines += variant_text(variant)
    if genesis.witnesses is not None:
        policy = genesis.witnesses
        lines.append(f"quorum     {policy.quorum} of {len(policy.groups)}, {policy.faulty} may lie")
        lines += [
            f"witness    {item.name} of {item.group} at {item.url}, key {item.key.key_id}"
            for item in policy.witnesses
        ]
    lines += charter_text(genesis.charter)
    lines += [
        f"unusual    {item.where}: {item.words}" for item in lint_constitution(genesis.charter)
    ]
    return lines

# SPDX-License-Identifier: Apache-2.0
"""`accord board`: genesis and founding."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from accord.board import AFFECTED_OWNERS, Freshness, Genesis, Rule, RuleKind, verify_genesis
from accord.cli._options import (
    PATH,
    confirm,
    home_option,
    read_file,
    service_url,
    with_output,
    writing,
)
from accord.cli._output import Output
from accord.client import MemberHome, TrustSession
from accord.encoding import Envelope, JSONValue, base64_encode, format_time, parse_json
from accord.errors import GenesisError
from accord.evidence import PRODUCTION_ROOTS
from accord.identity import FileIdentity, sign_statement, write_whole
from accord.policy import AttestationVariant, parse_yaml, tcb_terms, variant_terms


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
    _show(out, genesis)


@group.command()
@click.argument("genesis", type=PATH)
@with_output
def check(out: Output, genesis: Path) -> None:
    """Check a genesis file offline and show everything that its founders would agree to.

    \b
    Example: accord board check genesis.json
    """
    _show(out, Genesis.from_bytes(read_file(genesis)))


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
    listed = document.members.get(identity.public.name)
    if listed is None or listed.identity != identity.public:
        raise GenesisError(detail=f"it does not list {identity.public.name} with these keys")
    # Shown on stderr also where the digest was given: stdout is for what was done.
    _warn(out, document)
    for line in _text(document):
        out.note(line)
    confirm(out, digest, document.digest, what="the genesis", shown=())
    envelope = sign_statement("genesis", document.to_json(), [identity.signer])
    with writing(target):
        MemberHome.join(home, document, service)
        write_whole(target, envelope.to_bytes())
    out.fact(f"{identity.public.name} signed board {document.digest}")
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


def _show(out: Output, genesis: Genesis) -> None:
    _warn(out, genesis)
    out.result(_document(genesis), _text(genesis))


def _warn(out: Output, genesis: Genesis) -> None:
    if genesis.freshness is Freshness.SOLO:
        out.warn("freshness solo: without witnesses a rollback of the trust service goes unseen")
    if any(variant.simulated for variant in genesis.service):
        out.warn("this board accepts a SIMULATED trust service")
    if any(part.simulated for variant in genesis.service for part in variant.parts.values()):
        out.warn("this board accepts a SIMULATED part of a trust service")


def _document(genesis: Genesis) -> dict[str, JSONValue]:
    return {"digest": genesis.digest, "genesis": genesis.to_json()}


def _text(genesis: Genesis) -> list[str]:
    """Everything that the genesis says, for whoever is about to sign it."""
    lines = [
        f"board      {genesis.name}",
        f"digest     {genesis.digest}",
        f"founded    {format_time(genesis.founded)}",
        f"freshness  {genesis.freshness.value}",
    ]
    for action, rule in genesis.constitution.rules.items():
        lines += [f"rule       {action.value} needs", *_rule(rule, 1)]
    for anchor in genesis.anchors:
        lines.append(f"anchor     {anchor}")
        lines.append(f"  {PRODUCTION_ROOTS.get(anchor, 'TEST or UNKNOWN ROOT')}")
    for variant in genesis.service:
        lines += _variant(variant)
    for member in genesis.members.values():
        identity = member.identity
        lines += [
            f"member     {member.name}, {', '.join(sorted(member.roles)) or 'no role'}",
            f"  key      {identity.verify_key.key_id}",
            f"  sealing  {base64_encode(identity.seal_key.raw)}",
        ]
    return lines


def _rule(rule: Rule, depth: int) -> list[str]:
    """The tree of approvals, one indented line for each node."""
    match rule.kind:
        case RuleKind.EVERYONE:
            words = _meant(rule.members)
        case RuleKind.AT_LEAST:
            words = f"at least {rule.needed} of: {_meant(rule.members)}"
        case _:
            words = f"{rule.kind.value} of"
    below = [line for item in rule.rules for line in _rule(item, depth + 1)]
    return [f"{'  ' * depth}{words}", *below]


def _meant(term: str) -> str:
    if term == AFFECTED_OWNERS:
        return "every owner of an asset that is used"
    kind, _, name = term.partition(":")
    return f"member {name}" if kind == "member" else f"everyone with role {name}"


def _variant(variant: AttestationVariant, *, label: str = "service") -> list[str]:
    """All that is demanded of an environment, one value on a line; then of its parts."""
    kind = "SIMULATED " if variant.simulated else ""
    lines = [f"{label:<10} {kind}{variant.family.value}"]
    for what, values in tcb_terms(variant):
        if what == "at least":
            lines.append(f"  TCB evaluation number at least {values[0]}")
        else:
            lines.append(f"  {what:<8} {', '.join(values)}")
    for what, values in variant_terms(variant):
        lines += [f"  {what}", *(f"    {value}" for value in values)]
    for name, part in sorted(variant.parts.items()):
        lines += [f"  {line}" for line in _variant(part, label=f"part {name}")]
    return lines

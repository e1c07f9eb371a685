# SPDX-License-Identifier: Apache-2.0
"""`accord member`: identities, membership, and signing for others to send."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from accord.board import AddMember, ApprovalService, Member, RemoveMember, UpdateMember
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
from accord.cli._output import Output, table
from accord.cli._proposing import make_proposal, member_environment, proposing_options
from accord.client import (
    MemberHome,
    Unsigned,
    import_identity,
    read_identity,
    read_seal_key,
    read_verify_key,
)
from accord.encoding import Fields, parse_json
from accord.errors import MalformedError, NotAMemberError
from accord.identity import FileIdentity, PublicIdentity
from accord.policy import MAX_WEIGHT, AttestationVariant
from accord.release import Machine

MAX_PORT = 65535


@click.group("member")
def group() -> None:
    """Stakeholders: one key to sign, one to receive results; who belongs to the board."""


def _show(out: Output, public: PublicIdentity) -> None:
    out.result(
        {**public.to_json(), "key_id": public.verify_key.key_id},
        [f"name    {public.name}", f"key     {public.verify_key.key_id}"],
    )


@group.command()
@click.argument("name")
@home_option
@with_output
def new(out: Output, name: str, home: Path) -> None:
    """Make the identity NAME in --home; an identity that is there already is kept.

    \b
    Example: accord member new hospital-a --home hospital-a
    """
    with writing(home):
        identity = FileIdentity.create(home, name)
    out.note(f"identity in {home}; share {home / 'identity.json'}, keep the rest secret")
    _show(out, identity.public)


@group.command("import")
@click.argument("name")
@click.option("--verify-key", type=PATH, required=True, help="Ed25519 public key, PEM.")
@click.option("--seal-key", type=PATH, required=True, help="X25519 public key, PEM.")
@home_option
@with_output
def import_(out: Output, name: str, verify_key: Path, seal_key: Path, home: Path) -> None:
    """Make an identity.json for keys whose private halves are elsewhere.

    \b
    Example:
      openssl pkey -in token.pem -pubout -out verify.pem
      accord member import clinic --verify-key verify.pem --seal-key seal.pem --home clinic
    """
    verify = read_verify_key(read_file(verify_key), what=str(verify_key))
    seal = read_seal_key(read_file(seal_key), what=str(seal_key))
    with writing(home):
        home.mkdir(parents=True, exist_ok=True)
        identity = import_identity(home, name, verify, seal)
    _show(out, identity)


@group.command()
@home_option
@with_output
def show(out: Output, home: Path) -> None:
    """Show the public part of the identity in --home.

    \b
    Example: accord member show --home hospital-a
    """
    _show(out, FileIdentity.load(home).public)


@group.command()
@click.argument("file", type=PATH)
@click.option("-o", "--out", "target", type=PATH, required=True, help="Where the signature goes.")
@click.option("--digest", help="Digest of what you reviewed (instead of the prompt).")
@home_option
@with_output
def sign(out: Output, file: Path, target: Path, digest: str | None, home: Path) -> None:
    """Sign FILE, which another machine prepared, with the key in --home. No network is used.

    All that it says is shown first, and signed only if you name its digest. For a ballot,
    FILE.json must hold the proposal that is voted on, as `proposal prepare` writes it.

    \b
    Example: accord member sign ballot.tbs -o ballot.sig --home usb-stick/clinic
    """
    from accord.cli._signing import read_out

    unsigned = Unsigned.from_bytes(read_file(file), path=file)
    body, identity = unsigned.body, FileIdentity.load(home)
    lines, expected = read_out(unsigned, file, identity.public)
    for line in lines:
        out.note(line)
    confirm(out, digest, expected, what=f"the {unsigned.kind}", shown=())
    with writing(target):
        write_file(target, unsigned.sign(identity.signer))
    out.fact(f"{identity.public.name} signed a statement of kind {unsigned.kind}")
    out.result(
        {"kind": unsigned.kind, "digest": expected, "statement": body},
        [f"kind    {unsigned.kind}", f"digest  {expected}"],
    )


# --- membership ------------------------------------------------------------------------------


@group.command("list")
@home_option
@with_output
def list_(out: Output, home: Path) -> None:
    """List the members of the board as it is now.

    \b
    Example: accord member list --home hospital-a
    """
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
    members = machine.board.members
    rows = [
        (
            name,
            ", ".join(sorted(item.roles)) or "-",
            str(item.weight),
            "automated" if item.attestation else "person",
            item.identity.verify_key.key_id,
        )
        for name, item in sorted(members.items())
    ]
    out.result(
        {"members": [item.to_json() for _, item in sorted(members.items())]},
        table(("member", "roles", "weight", "kind", "key"), rows),
    )


def _member_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--role", "roles", multiple=True, metavar="ROLE", help="Once per role."),
        click.option("--weight", type=click.IntRange(0, MAX_WEIGHT), help="Weight of its votes."),
        click.option("--approval-url", metavar="URL", help="Its approval service."),
        click.option("--approval-spki", metavar="HEX", help="SHA-256 of that service's TLS key."),
        click.option(
            "--approval-timeout", type=click.IntRange(1, 3600), help="Seconds. [default: 60]"
        ),
        click.option("--attestation", type=PATH, help="JSON: where an automated member must run."),
    ):
        command = option(command)
    return command


def _changed(member: Member, options: dict[str, object]) -> Member:
    """``member`` with what the command line names in place of what it had."""
    roles, weight = options["roles"], options["weight"]
    if roles:
        member = replace(member, roles=frozenset(map(str, roles)))  # type: ignore[call-overload]
    if isinstance(weight, int):
        member = replace(member, weight=weight)
    url, spki = options["approval_url"], options["approval_spki"]
    if (url is None) is not (spki is None):
        message = "--approval-url and --approval-spki belong together"
        raise click.UsageError(message)
    if url is not None:
        document = {
            "url": url,
            "tls_spki_sha256": spki,
            "timeout_s": options["approval_timeout"] or 60,
        }
        member = replace(member, approval=ApprovalService.from_fields(Fields(document, "approval")))
    path = options["attestation"]
    if isinstance(path, Path):
        listed = parse_json(read_file(path), what=str(path))
        found = listed.get("attestation") if isinstance(listed, dict) else listed
        variants = Fields({"attestation": found}, str(path)).objects("attestation")
        member = replace(member, attestation=tuple(map(AttestationVariant.from_fields, variants)))
    # Read back as everybody else will read it.
    return Member.from_fields(Fields(member.to_json(), "member"))


@group.command()
@click.argument("identity", type=PATH)
@_member_options
@proposing_options
@home_option
@with_output
def add(
    out: Output,
    /,
    identity: Path,
    title: str | None,
    days: int | None,
    offline_out: Path | None,
    home: Path,
    **options: object,
) -> None:
    """Propose that the holder of IDENTITY, an identity.json, becomes a member.

    \b
    Example: accord member add newcomer/identity.json --role data-owner --home lab
    """
    public = read_identity(read_file(identity), what=str(identity))
    member = _changed(Member(public, frozenset()), options)
    make_proposal(
        out,
        home,
        lambda _: [AddMember(member)],
        title=title or f"add {member.name}",
        days=days,
        offline_out=offline_out,
    )


@group.command()
@click.argument("name")
@proposing_options
@home_option
@with_output
def remove(
    out: Output,
    name: str,
    title: str | None,
    days: int | None,
    offline_out: Path | None,
    home: Path,
) -> None:
    """Propose that NAME leaves; what it owns can then no longer be used.

    \b
    Example: accord member remove clinic --home lab
    """
    make_proposal(
        out,
        home,
        lambda machine: [RemoveMember(_known(machine, name).name)],
        title=title or f"remove {name}",
        days=days,
        offline_out=offline_out,
    )


@group.command()
@click.argument("name")
@click.option("--identity", type=PATH, help="An identity.json with other keys.")
@_member_options
@proposing_options
@home_option
@with_output
def update(
    out: Output,
    /,
    name: str,
    identity: Path | None,
    title: str | None,
    days: int | None,
    offline_out: Path | None,
    home: Path,
    **options: object,
) -> None:
    """Propose other keys, roles or weight for NAME; what is not named stays as it is.

    \b
    Example: accord member update clinic --role result-user --role operator --home lab
    """

    def actions(machine: Machine) -> list[UpdateMember]:
        member = _known(machine, name)
        if identity is not None:
            public = read_identity(read_file(identity), what=str(identity))
            if public.name != name:
                raise MalformedError(what=str(identity), detail=f"it is of {public.name}")
            member = replace(member, identity=public)
        return [UpdateMember(_changed(member, options))]

    make_proposal(
        out, home, actions, title=title or f"update {name}", days=days, offline_out=offline_out
    )


def _known(machine: Machine, name: str) -> Member:
    member = machine.board.members.get(name)
    if member is None:
        raise NotAMemberError(who=name, board=machine.board.genesis.name, detail="not a member")
    return member


# --- approving by a program ------------------------------------------------------------------


@group.command("approve-serve")
@click.option("--listen", default="127.0.0.1:8444", show_default=True, metavar="HOST:PORT")
@click.option("--check", required=True, metavar="PROGRAM", help="Decides: exit 0 approves.")
@click.option("--reject-on-failure", is_flag=True, help="Exit 1 rejects instead of not voting.")
@click.option("--timeout", type=click.IntRange(1, 3600), default=30, help="Of PROGRAM, seconds.")
@click.option("--simulated", type=PATH, metavar="PLATFORM", help="Votes with evidence. SIMULATED.")
@click.option("--url-file", type=PATH, help="Write the URL here once connections are accepted.")
@home_option
@with_output
def approve_serve(
    out: Output,
    listen: str,
    check: str,
    timeout: int,
    simulated: Path | None,
    url_file: Path | None,
    home: Path,
    *,
    reject_on_failure: bool,
) -> None:
    """Answer the trust service's approval requests: PROGRAM decides, your key signs.

    PROGRAM reads the case as JSON on its standard input. Exit code 0 approves; every other end
    casts no vote. The charter must name the URL and the key that are printed here.

    \b
    Example:
      accord member approve-serve --listen 0.0.0.0:8444 --check ./review.py --home clinic
    """
    from accord.client import APPROVAL_PATH, ApprovalServer, check_by_program, load_tls

    host, _, port = listen.rpartition(":")
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > MAX_PORT:
        message = f"{listen!r} is not HOST:PORT"
        raise click.BadParameter(message, param_hint="--listen")
    member = MemberHome.load(home, service=service_url())
    attester = None if simulated is None else member_environment(out, simulated)
    tls = load_tls(home)
    program = check_by_program([check], timeout_s=timeout, reject_on_failure=reject_on_failure)
    with (
        writing(Path(listen)),
        ApprovalServer(
            (host, int(port)), member, tls=tls, check=program, told=out.note, attester=attester
        ) as server,
    ):
        url = f"https://{host}:{server.server_address[1]}{APPROVAL_PATH}"
        if url_file is not None:
            write_file(url_file, url.encode())
        out.result(
            {"url": url, "tls_spki_sha256": tls.spki_sha256.hex()},
            [f"url   {url}", f"spki  {tls.spki_sha256.hex()}"],
        )
        server.serve_forever(poll_interval=0.2)

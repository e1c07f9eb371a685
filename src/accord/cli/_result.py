# SPDX-License-Identifier: Apache-2.0
"""Attestation results as signed tokens: written by `attest verify --ear`, read by `attest result`.

The formats are those of docs/spec/attestation-result.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from accord.cli._options import PATH, read_file, read_now, with_output, write_file
from accord.cli._output import Output
from accord.encoding import Fields, format_time, parse_json
from accord.errors import ExitCode, MalformedError
from accord.evidence import (
    EAR,
    AttestationResult,
    Tier,
    sign_cwt,
    sign_jwt,
    verify_cwt,
    verify_jwt,
)
from accord.identity import FileIdentity, PublicIdentity

_MAX_TOKEN_BYTES = 1 << 20
_COSE_SIGN1 = b"\xd2"
_NONCE_BYTES = range(8, 65)
"""RFC 9711, 4.1."""


@dataclass(frozen=True, slots=True)
class Token:
    """Where a result is to be written as a token, in which form, and who signs it."""

    path: Path
    form: str
    identity: FileIdentity


def read_token(path: Path | None, form: str, key: Path | None, *, policy: bool) -> Token | None:
    """What the options of `attest verify` say of a token, None where none is wanted.

    Raises ``click.UsageError`` and what `FileIdentity.load` raises.
    """
    if path is None:
        if key is not None:
            raise click.UsageError("--key signs what --ear writes; give both")
        return None
    if key is None or not policy:
        raise click.UsageError("--ear needs --policy, and --key with the home of an identity")
    return Token(path, form, FileIdentity.load(key))


def write_token(token: Token, result: AttestationResult, *, nonce: bytes | None) -> None:
    """Signs ``result``, admitted or not, in the name of the identity.

    ``nonce`` is what evidence was found bound to; one that a token cannot carry is left out.
    Raises ``FileAccessError``.
    """
    ear = result.ear(
        nonce=nonce if nonce is not None and len(nonce) in _NONCE_BYTES else None,
        issuer=token.identity.public.name,
        expires=result.claims.collateral_expires,
    )
    signer = token.identity.signer
    signed = sign_cwt(ear, signer) if token.form == "cwt" else sign_jwt(ear, signer).encode()
    write_file(token.path, signed)


@click.command("result")
@click.argument("file", type=PATH)
@click.option(
    "--key",
    type=PATH,
    required=True,
    metavar="HOME|identity.json",
    help="Who must have signed it: the public identity of the verifier.",
)
@click.option("--nonce", metavar="HEX", help="The nonce, or report data, that it must carry.")
@click.option("--now", help="Check it as of this moment (2025-07-01T00:00:00Z).")
@with_output
def read_result(
    out: Output, file: Path, key: Path, nonce: str | None, now: str | None
) -> int | None:
    """Check a signed attestation result: a JWT or CWT that `attest verify --ear` wrote.

    Exit code 0 if it is genuine and admits the environment, 1 if it is genuine and refuses
    it, 3 if it is not genuine, too old, or of another nonce.

    \b
    Example: accord attest result result.jwt --key verifier/identity.json --nonce $NONCE
    """
    identity = _identity(key)
    ear = _verified(
        read_file(file, limit=_MAX_TOKEN_BYTES),
        identity,
        now=datetime.now(UTC) if now is None else read_now(now),
        nonce=_nonce(nonce),
    )
    out.fact(f"signed by {identity.name} ({identity.verify_key.key_id})")
    if nonce is None:
        out.warn("NONCE NOT CHECKED: it may have been made at any time, for anybody; give --nonce")
    else:
        out.fact("made for the nonce given")
    worst = max((item.status for item in ear.submodules.values()), key=lambda tier: tier.number)
    found = {"schema": "accord.result.v1", "issuer": identity.name, "status": worst.value}
    key_id = identity.verify_key.key_id
    out.result(found | {"key_id": key_id, "ear": ear.to_json()}, _lines(ear, worst))
    return ExitCode.FAILURE if worst is Tier.CONTRAINDICATED else None


def _identity(path: Path) -> PublicIdentity:
    """The public identity in a home, or in its file. Raises ``EncodingError``."""
    file = path / "identity.json" if path.is_dir() else path
    return PublicIdentity.from_fields(
        Fields(parse_json(read_file(file), what=str(file)), str(file))
    )


def _nonce(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        nonce = bytes.fromhex(text)
    except ValueError as exc:
        raise click.BadParameter("expected hex digits", param_hint="--nonce") from exc
    if len(nonce) not in _NONCE_BYTES:
        raise click.BadParameter("expected 8 to 64 bytes in hex", param_hint="--nonce")
    return nonce


def _verified(token: bytes, identity: PublicIdentity, *, now: datetime, nonce: bytes | None) -> EAR:
    """Its form is told by its first byte: a CWT is CBOR, a JWT is text."""
    key, issuer = identity.verify_key, identity.name
    if token.startswith(_COSE_SIGN1):
        return verify_cwt(token, key=key, now=now, issuer=issuer, nonce=nonce)
    if not token.isascii():
        raise MalformedError(what="attestation result", detail="neither a JWT nor a CWT")
    return verify_jwt(token.decode().strip(), key=key, now=now, issuer=issuer, nonce=nonce)


def _lines(ear: EAR, worst: Tier) -> Iterator[str]:
    yield f"status      {worst.value}"
    yield f"issued      {format_time(ear.issued_at)}"
    if ear.expires is not None:
        yield f"expires     {format_time(ear.expires)}"
    for name, item in ear.submodules.items():
        yield f"{name.ljust(11)} {item.status.value} ({item.policy_id or 'no policy named it'})"

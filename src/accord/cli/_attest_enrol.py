# SPDX-License-Identifier: Apache-2.0
"""`accord attest enrol`: proof that an attestation key lives in the TPM of a known maker."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click
from cryptography.hazmat.primitives.serialization import Encoding

from accord.attesters import Connect, EndorsementKey, answer, opened, read_keys
from accord.cli._attest_get import read_handle
from accord.cli._given import read_anchor
from accord.cli._options import PATH, read_file, read_now, with_output, write_file, writing
from accord.cli._output import Output
from accord.collateral import MAX_FILE_BYTES, recognise, to_pem
from accord.encoding import Fields, base64_encode, canonical_json, parse_json
from accord.evidence import Certificate, load_certificates
from accord.evidence.tpm import AKEnrolment, Credential, parse_public
from accord.identity import PRIVATE, read_private, write_whole

_REQUEST, _CHALLENGE = "accord.ak-request.v1", "accord.ak-challenge.v1"
_ANSWER, _ENROLLED = "accord.ak-answer.v1", "accord.ak-enrolled.v1"
_MAX_PEM_BYTES = 1 << 16
_MAX_SECRET_BYTES = 1 << 10
"""More than any TPM takes: an encrypted seed of RSA-4096 has 512 bytes."""


@click.command()
@click.argument("step", type=click.Choice(["request", "challenge", "answer", "finish"]))
@click.argument("file", required=False, type=PATH)
@click.option("--simulated", type=PATH, help="Folder of a simulated TPM. NOT HARDWARE.")
@click.option(
    "--ek",
    type=click.Choice([kind.value for kind in EndorsementKey]),
    help="request: which endorsement key; else the first that has a certificate.",
)
@click.option(
    "--ak-handle",
    metavar="HANDLE",
    callback=read_handle,
    help="request, answer: a persistent attestation key.",
)
@click.option(
    "--anchor",
    "anchors",
    multiple=True,
    metavar="FILE|sha256:...",
    help="challenge: root of the TPM's maker.",
)
@click.option(
    "--certificate",
    "certificates",
    multiple=True,
    type=PATH,
    help="challenge: certificates between the key and the root, or the key's own.",
)
@click.option("--now", help="challenge: judge expiry as of this moment.")
@click.option("--state", type=PATH, help="challenge, finish: your secret file of this enrolment.")
@click.option("--out", "target", type=PATH, help="Write what is to be handed over to this file.")
@with_output
def enrol(
    out: Output,
    *,
    step: str,
    file: Path | None,
    simulated: Path | None,
    ek: str | None,
    ak_handle: int | None,
    anchors: tuple[str, ...],
    certificates: tuple[Path, ...],
    now: str | None,
    state: Path | None,
    target: Path | None,
) -> None:
    """Prove that an attestation key lives in a genuine TPM, and print the digest to pin.

    The machine runs `request` and `answer`, whoever enrols it `challenge` and `finish`; FILE
    is what the step before wrote. Only the TPM that its maker certified finds the secret in
    the challenge. Which machine it is in is for you to know.

    \b
    Example:
      accord attest enrol request --out request.json
      accord attest enrol challenge request.json --anchor maker.pem --state s.json --out c.json
      accord attest enrol answer c.json --out answer.json
      accord attest enrol finish answer.json --state s.json
    """
    _check_usage(step, file, state, anchors, simulated)
    given = b"" if file is None else read_file(file)
    connect, chain = _tpm(out, simulated) if step in {"request", "answer"} else (opened, b"")
    match step:
        case "request":
            kind = None if ek is None else EndorsementKey(ek)
            _hand_over(out, target, _request(connect, kind, ak_handle, chain))
        case "challenge":
            moment = datetime.now(UTC).replace(microsecond=0) if now is None else read_now(now)
            enrolment, data = _challenge(given, anchors, certificates, now=moment)
            _keep(state or Path(), enrolment)
            _hand_over(out, target, data)
        case "answer":
            _hand_over(out, target, _answer(given, connect, ak_handle))
        case _:
            _finish(out, given, state or Path())


def _check_usage(
    step: str,
    file: Path | None,
    state: Path | None,
    anchors: Sequence[str],
    simulated: Path | None,
) -> None:
    if (file is None) != (step == "request"):
        raise click.UsageError("every step but request takes the FILE of the step before")
    if (state is None) != (step in {"request", "answer"}):
        raise click.UsageError("challenge and finish need --state FILE, the machine never sees it")
    if bool(anchors) != (step == "challenge"):
        raise click.UsageError("challenge needs --anchor, the root of the TPM's maker")
    if simulated is not None and step not in {"request", "answer"}:
        raise click.UsageError("only a machine is simulated: request and answer")


def _tpm(out: Output, simulated: Path | None) -> tuple[Connect, bytes]:
    """How to reach the TPM, and the certificates of its endorsement key, if it holds none."""
    if simulated is None:
        return opened, b""
    from accord.testing import SimulatedTPM, switched_on

    out.warn("SIMULATED: a TPM in software, whose keys lie open in a folder")
    with writing(simulated):
        machine = SimulatedTPM.create(simulated)
    for anchor in machine.anchors:
        out.note(f"its maker's test root: {anchor}")
    names = ("ek", "root")
    pem = (machine.certificates[name].public_bytes(Encoding.PEM) for name in names)
    return partial(switched_on, machine), b"".join(pem)


def _request(
    connect: Connect, kind: EndorsementKey | None, ak_handle: int | None, chain: bytes
) -> bytes:
    keys = read_keys(connect, kind=kind, ak_handle=ak_handle)
    if keys.ek_certificate:
        chain = to_pem(load_certificates(keys.ek_certificate, what="EK certificate"))
    return canonical_json(
        {
            "schema": _REQUEST,
            "ek": keys.kind.value,
            "ak_public": base64_encode(keys.ak_public),
            "ek_public": base64_encode(keys.ek_public),
            "certificates": chain.decode(),
        }
    )


def _challenge(
    given: bytes, anchors: Sequence[str], files: Iterable[Path], *, now: datetime
) -> tuple[AKEnrolment, bytes]:
    """The enrolment to keep, and the challenge to hand over."""
    fields = Fields(parse_json(given, what="the request"), "request")
    fields.schema(_REQUEST)
    kind = fields.choice("ek", EndorsementKey)
    ak_public, ek_public = fields.data("ak_public"), fields.data("ek_public")
    sent = fields.text("certificates", limit=_MAX_PEM_BYTES).encode()
    fields.end()
    pool = list(load_certificates(sent, what="the request")) if sent else []
    roots = [Path(text) for text in anchors if not text.startswith("sha256:")]
    for path in (*files, *roots):
        for item in recognise(read_file(path, limit=MAX_FILE_BYTES), what=str(path)):
            pool += item.certificates
    enrolment = AKEnrolment.start(
        ak_public=ak_public,
        ek_public=ek_public,
        endorsements=_endorsements(parse_public(ek_public, what="endorsement key").spki, pool),
        anchors=[digest for text in anchors for digest in read_anchor(text)],
        now=now,
        entropy=secrets.token_bytes,
    )
    credential = enrolment.credential
    data = canonical_json(
        {
            "schema": _CHALLENGE,
            "ek": kind.value,
            "id_object": base64_encode(credential.id_object),
            "encrypted_secret": base64_encode(credential.encrypted_secret),
        }
    )
    return enrolment, data


def _endorsements(ek: bytes, pool: Sequence[Certificate]) -> dict[str, bytes]:
    """The certificate of the key and those above it, by names alone: nothing is verified."""
    chain = [certificate for certificate in pool if certificate.spki == ek][:1]
    while chain and chain[-1].issuer != chain[-1].subject:
        above = [c for c in pool if c.subject == chain[-1].issuer and c not in chain]
        if not above:
            break
        chain.append(above[0])
    if not chain:
        return {}
    return {"ek_certificate": chain[0].der} | ({"ek_chain": to_pem(chain[1:])} if chain[1:] else {})


def _answer(given: bytes, connect: Connect, ak_handle: int | None) -> bytes:
    fields = Fields(parse_json(given, what="the challenge"), "challenge")
    fields.schema(_CHALLENGE)
    kind = fields.choice("ek", EndorsementKey)
    credential = Credential(
        fields.data("id_object", limit=_MAX_SECRET_BYTES),
        fields.data("encrypted_secret", limit=_MAX_SECRET_BYTES),
    )
    fields.end()
    found = answer(credential, connect, kind=kind, ak_handle=ak_handle)
    return canonical_json({"schema": _ANSWER, "secret": base64_encode(found)})


def _finish(out: Output, given: bytes, state: Path) -> None:
    fields = Fields(parse_json(given, what="the answer"), "answer")
    fields.schema(_ANSWER)
    secret = fields.data("secret")
    fields.end()
    read_file(state)  # that it is not there is said in its own words
    enrolled = AKEnrolment.from_bytes(read_private(state)).finish(secret)
    out.fact(f"the key lives in a TPM that {enrolled.ek_issuer or 'its root'} certified")
    out.fact(f"signed under root {enrolled.ek_root} (named at the challenge)")
    out.result(
        {
            "schema": _ENROLLED,
            "anchor": enrolled.anchor,
            "ak_name": enrolled.ak_name.hex(),
            "ek_digest": enrolled.ek_digest,
            "ek_issuer": enrolled.ek_issuer,
            "ek_root": enrolled.ek_root,
        },
        enrolled.anchor,
    )


def _keep(state: Path, enrolment: AKEnrolment) -> None:
    with writing(state):
        write_whole(state, enrolment.to_bytes(), mode=PRIVATE)


def _hand_over(out: Output, target: Path | None, data: bytes) -> None:
    """The step's document: to the file that was named, else it is the output."""
    document = parse_json(data, what="the document")
    if target is None:
        out.result(document, data.decode())
        return
    write_file(target, data)
    out.result(document, f"written to {target}")

# SPDX-License-Identifier: Apache-2.0
"""What `accord attest verify` and `explain` are asked, the answer, and how it is shown."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from accord.cli._evidence_file import EvidenceFile, read_evidence
from accord.cli._options import PATH, cache_option, read_file, read_now
from accord.collateral import (
    MAX_FILE_BYTES,
    MAX_VERDICT_BYTES,
    CollateralCache,
    Item,
    cached_endorsements,
    name_items,
    read_anchors,
    recognise,
    with_endorsements,
)
from accord.encoding import (
    Digest,
    Fields,
    canonical_json,
    parse_digest,
    sha256,
)
from accord.errors import BindingMismatchError, MalformedError, PolicyContentError
from accord.evidence import (
    PRODUCTION_ROOTS,
    AttestationResult,
    Claims,
    Engine,
    Evidence,
    link,
    verify_unbound,
)
from accord.policy import POLICY_SCHEMA, AttestationVariant, Family, Policy, parse_yaml

REPORT_DATA_BYTES = 64

_ATTACHMENT = click.Path(path_type=Path, dir_okay=False)


@dataclass(frozen=True, slots=True)
class Question:
    """Everything that a verdict depends on."""

    evidence: Evidence
    anchors: tuple[Digest, ...]
    now: datetime
    report_data: bytes | None
    nonce: bytes | None
    variants: tuple[AttestationVariant, ...]
    stored: EvidenceFile
    engine: Engine

    @property
    def policy(self) -> Digest | None:
        """What names the variants in a stored verdict."""
        if not self.variants:
            return None
        return sha256(canonical_json([variant.to_json() for variant in self.variants]))


@dataclass(frozen=True, slots=True)
class Answer:
    """What verified evidence proves; ``result`` is None where no policy was given."""

    claims: Claims
    bound: Mapping[str, bytes]
    compared: str
    result: AttestationResult | None = None


def question_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `read_question` takes."""
    options: list[Callable[[Callable[..., Any]], Callable[..., Any]]] = [
        click.argument("quote", type=PATH),
        click.option(
            "--family",
            type=click.Choice([family.value for family in Family]),
            help="Which TEE it is from; needed where the bytes do not say.",
        ),
        click.option(
            "--collateral",
            "collateral",
            multiple=True,
            metavar="[NAME=]FILE",
            help="The vendor's endorsements, in any of its forms; else the cache's.",
        ),
        click.option(
            "--aux",
            multiple=True,
            metavar="NAME=FILE",
            help="What the machine adds: event_log, ima_log, pcrs, ak_public, ...",
        ),
        click.option("--now", help="Verify as of this moment (2025-07-01T00:00:00Z)."),
        click.option(
            "--anchor",
            "anchors",
            multiple=True,
            metavar="FILE|sha256:...",
            help="Root or device key to trust instead of the vendors' pinned roots.",
        ),
        click.option(
            "--policy", "policy", type=PATH, help="Attestation variants, or a whole policy."
        ),
        click.option("--service", help="Which service of a whole policy."),
        click.option("--report-data", metavar="HEX", help="The 64 bytes that it must be bound to."),
        click.option("--nonce", metavar="HEX", help="The nonce that it was asked for with."),
        click.option(
            "--engine",
            type=click.Choice([engine.value for engine in Engine]),
            default=Engine.OWN.value,
            show_default=True,
            help="Who judges SGX and TDX: this verifier, or the library dcap-qvl (extra dcap).",
        ),
        cache_option,
    ]
    for option in reversed(options):
        command = option(command)
    return command


def read_question(
    *,
    quote: Path,
    family: str | None,
    collateral: Sequence[str],
    aux: Sequence[str],
    now: str | None,
    anchors: Sequence[str],
    policy: Path | None,
    service: str | None,
    report_data: str | None,
    nonce: str | None,
    engine: str,
    cache: Path,
) -> Question:
    """Reads every file that was named. Raises ``AccordError`` or ``click.UsageError``."""
    if report_data is not None and nonce is not None:
        raise click.UsageError("give --report-data or --nonce, not both")
    stored = read_evidence(
        read_file(quote, limit=MAX_VERDICT_BYTES),
        family=None if family is None else Family(family),
        aux=dict(_named(item, "--aux") for item in aux),
        what=str(quote),
    )
    moment = datetime.now(UTC).replace(microsecond=0) if now is None else read_now(now)
    evidence = _endorsed(stored.evidence, collateral, cache, now=moment)
    bound = None if report_data is None else _sized_hex(report_data)
    if bound is None and nonce is None and stored.verdict is not None:
        bound = stored.verdict.report_data
    return Question(
        evidence=evidence,
        anchors=tuple(d for item in anchors for d in read_anchor(item)) or tuple(PRODUCTION_ROOTS),
        now=moment,
        report_data=bound,
        nonce=None if nonce is None else _hex(nonce, "--nonce"),
        variants=() if policy is None else read_variants(policy, service),
        stored=stored,
        engine=Engine(engine),
    )


def _named(text: str, option: str) -> tuple[str, bytes]:
    name, separator, file = text.partition("=")
    if not separator or not name or not file:
        raise click.BadParameter(f"expected NAME=FILE, found {text!r}", param_hint=option)
    return name, read_file(Path(file), limit=MAX_FILE_BYTES)


def _hex(text: str, option: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as exc:
        raise click.BadParameter("expected hex digits", param_hint=option) from exc


def read_anchor(text: str) -> tuple[Digest, ...]:
    """What ``--anchor`` names: a digest, or what a file holds."""
    if text.startswith("sha256:"):
        try:
            return (parse_digest(text, what="--anchor"),)
        except MalformedError as exc:
            raise click.BadParameter(str(exc), param_hint="--anchor") from exc
    return read_anchors(read_file(Path(text)), what=text)


def _endorsed(evidence: Evidence, given: Sequence[str], cache: Path, *, now: datetime) -> Evidence:
    """``evidence`` with what was named, or, if it has nothing else, with what is cached."""
    named, items = dict[str, bytes](), list[Item]()
    for text in given:
        if "=" in text and not Path(text).exists():
            name, data = _named(text, "--collateral")
            named[name] = data
        else:
            data = read_file(Path(text), limit=MAX_FILE_BYTES)
            items += recognise(data, what=text)
    found = {**name_items(evidence, items), **named}
    evidence = with_endorsements(evidence, found)
    if given or (evidence.endorsements and evidence.family in {Family.SGX, Family.TDX}):
        return evidence
    stored = cached_endorsements(evidence, CollateralCache(cache), now=now)
    # What evidence brings itself goes first: a stored verdict is repeated with what it used.
    return with_endorsements(evidence, {**stored, **evidence.endorsements})


def read_variants(path: Path, service: str | None) -> tuple[AttestationVariant, ...]:
    """One variant, a list of them, what `attest reference` prints, or a service of a policy.

    Raises ``PolicyContentError`` and what the readers of these raise.
    """
    value = parse_yaml(read_file(path))
    if isinstance(value, dict) and value.get("schema") == POLICY_SCHEMA:
        services = Policy.from_json(value).services
        if service is None and len(services) == 1:
            return next(iter(services.values())).attestation
        if service is None or service not in services:
            known = ", ".join(services)
            raise PolicyContentError(where=str(path), detail=f"name a service of it: {known}")
        return services[service].attestation
    if service is not None:
        raise PolicyContentError(where=str(path), detail="it is no whole policy with services")
    if isinstance(value, dict) and "attestation" in value:
        value = value["attestation"]
    listed = value if isinstance(value, list) else [value]
    if not listed:
        raise PolicyContentError(where=str(path), detail="no environment is acceptable")
    return tuple(
        AttestationVariant.from_fields(Fields(item, f"policy[{index}]"))
        for index, item in enumerate(listed)
    )


def verified(question: Question) -> Answer:
    """What the evidence proves, compared with what it must be bound to, not with a policy.

    Raises the errors of family ATT.
    """
    claims, bound = verify_unbound(
        question.evidence, anchors=question.anchors, now=question.now, engine=question.engine
    )
    compared = ""
    if question.report_data is not None or question.nonce is not None:
        compared = "report data" if question.nonce is None else "nonce"
        for slot, actual in bound.items() or [("nothing", b"")]:
            expected = _expected(question, slot, actual)
            if not any(hmac.compare_digest(value, actual) for value in expected):
                raise BindingMismatchError(
                    actual=actual.hex() or slot,
                    expected=" or ".join(value.hex() for value in expected),
                    purpose="question",
                    role="verifier",
                )
    return Answer(claims, bound, compared)


def _expected(question: Question, slot: str, actual: bytes) -> tuple[bytes, ...]:
    """What the slot must hold: the bytes given, or what a collector makes of them.

    A nonce stands as it is, or fills 64 bytes with zeros behind it; a slot that is too small
    for 64 bytes holds the link to them.
    """
    asked = question.report_data or (question.nonce or b"").ljust(REPORT_DATA_BYTES, b"\0")
    whole = asked if len(actual) == REPORT_DATA_BYTES else link(slot, asked)
    return (whole,) if question.nonce is None else (question.nonce, whole)


def read_report_data(report_data: str | None, nonce: str | None) -> bytes | None:
    """The 64 bytes to ask for, None where nothing was given. Raises ``click.UsageError``."""
    if report_data is not None and nonce is not None:
        raise click.UsageError("give --report-data or --nonce, not both")
    if report_data is not None:
        return _sized_hex(report_data)
    if nonce is None:
        return None
    asked = _hex(nonce, "--nonce")
    if not 0 < len(asked) <= REPORT_DATA_BYTES:
        raise click.BadParameter("expected 1 to 64 bytes in hex", param_hint="--nonce")
    return asked.ljust(REPORT_DATA_BYTES, b"\0")


def _sized_hex(text: str) -> bytes:
    value = _hex(text, "--report-data")
    if len(value) != REPORT_DATA_BYTES:
        raise click.BadParameter("expected 64 bytes in hex", param_hint="--report-data")
    return value

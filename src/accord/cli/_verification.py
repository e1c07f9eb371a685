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
from accord.cli._given import Endorsed, endorsed, read_anchor, read_named, read_trusted
from accord.cli._options import PATH, cache_option, read_file, read_now, read_stdin
from accord.collateral import MAX_VERDICT_BYTES
from accord.encoding import Digest, Fields, canonical_json, sha256
from accord.errors import (
    AccordError,
    BindingMismatchError,
    EncodingError,
    PolicyContentError,
    PolicySyntaxError,
)
from accord.evidence import (
    PRODUCTION_ROOTS,
    AttestationResult,
    Claims,
    Engine,
    Evidence,
    link,
    parse,
    verify_unbound,
)
from accord.policy import POLICY_SCHEMA, AttestationVariant, Family, Policy, parse_yaml

REPORT_DATA_BYTES = 64
_REPORT_DATA = "report_data"

__all__ = [
    "Answer",
    "Question",
    "question_options",
    "read_anchor",
    "read_question",
    "read_report_data",
    "read_variants",
    "verified",
]

_ATTACHMENT = click.Path(path_type=Path, dir_okay=False)


@dataclass(frozen=True, slots=True)
class Question:
    """Everything that a verdict depends on."""

    endorsed: Endorsed
    anchors: tuple[Digest, ...]
    now: datetime
    report_data: bytes | None
    nonce: bytes | None
    variants: tuple[AttestationVariant, ...]
    stored: EvidenceFile
    engine: Engine

    @property
    def evidence(self) -> Evidence:
        """The evidence with all endorsements at hand."""
        return self.endorsed.evidence

    @property
    def repeated(self) -> bool:
        """Whether a stored verdict is asked for again, as of its own moment."""
        return self.endorsed.repeated

    @property
    def asked(self) -> bytes | None:
        """The 64 bytes that it must be bound to; a nonce is filled up with zeros."""
        if self.nonce is None:
            return self.report_data
        return self.nonce.ljust(REPORT_DATA_BYTES, b"\0")

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
            help="What the machine adds: tdx ccel, ccel_table; tpm ak_public or ak_spki, pcrs, "
            "event_log, ima_log, ima_keys; txt also txt_log; azure td_quote, tpm_quote, pcrs, ...",
        ),
        click.option(
            "--index",
            type=click.IntRange(min=0),
            help="Which device, in a file that lists more than one.",
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
    index: int | None,
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
    asked = read_report_data(report_data, nonce)
    stored = read_evidence(
        read_stdin(limit=MAX_VERDICT_BYTES)
        if str(quote) == "-"
        else read_file(quote, limit=MAX_VERDICT_BYTES),
        family=None if family is None else Family(family),
        aux=dict(read_named(item, "--aux") for item in aux),
        index=index,
        what="standard input" if str(quote) == "-" else str(quote),
    )
    moment = datetime.now(UTC).replace(microsecond=0) if now is None else read_now(now)
    trusted = read_trusted(anchors)
    pinned = trusted.digests or tuple(PRODUCTION_ROOTS)
    return Question(
        endorsed=endorsed(
            stored,
            collateral,
            cache,
            trusted=trusted,
            anchors=pinned,
            now=moment,
            # A moment that nobody named is the present one, for which the newest counts.
            repeated=now is not None
            and stored.verdict is not None
            and stored.verdict.now == moment,
        ),
        anchors=pinned,
        now=moment,
        report_data=asked if nonce is None else None,
        nonce=None if nonce is None else bytes.fromhex(nonce),
        variants=() if policy is None else read_variants(policy, service),
        stored=stored,
        engine=Engine(engine),
    )


def read_variants(path: Path, service: str | None) -> tuple[AttestationVariant, ...]:
    """One variant, a list of them, what `attest reference` prints, or a service of a policy.

    Raises ``PolicySyntaxError`` or ``PolicyContentError``, which name the file, and
    ``FileAccessError``: a policy is the verifier's own, so that its faults are wrong use.
    """
    data = read_file(path)
    try:
        return _variants(parse_yaml(data), path, service)
    except PolicySyntaxError as exc:
        raise PolicySyntaxError(detail=f"{path}: {exc.details['detail']}") from exc
    except EncodingError as exc:
        raise PolicyContentError(where=str(path), detail=str(exc)) from exc
    except PolicyContentError as exc:
        where = str(exc.details["where"])
        if where.startswith(str(path)):
            raise
        raise PolicyContentError(where=f"{path}: {where}", detail=exc.details["detail"]) from exc


def _variants(value: Any, path: Path, service: str | None) -> tuple[AttestationVariant, ...]:
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
    asked = question.asked
    missing = question.endorsed.missing
    if missing is not None and _is_readable(question.evidence):
        raise missing
    claims, bound = verify_unbound(
        question.evidence,
        anchors=question.anchors,
        now=question.now,
        engine=question.engine,
        report_data=asked,
    )
    if missing is not None:  # nobody looked for newer collateral
        raise missing
    if asked is None:
        return Answer(claims, bound, "")
    # Bound to nothing, it was made for nobody: whatever was asked for, that is not it.
    for slot, actual in bound.items() or [("nothing", b"")]:
        expected = _expected(question, asked, slot)
        if not actual or not any(hmac.compare_digest(value, actual) for value in expected):
            raise BindingMismatchError(
                actual=actual.hex() or "that are empty",
                expected=" or ".join(value.hex() for value in expected),
                purpose="question",
                role="verifier",
            )
    return Answer(claims, bound, "report data" if question.nonce is None else "nonce")


def _is_readable(evidence: Evidence) -> bool:
    """Whether collateral could be looked for: otherwise verification says what is wrong."""
    try:
        parse(evidence)
    except AccordError:
        return False
    return True


def _expected(question: Question, asked: bytes, slot: str) -> tuple[bytes, ...]:
    """What the slot must hold: the bytes given, or what a collector makes of them.

    A nonce stands as it is, or fills 64 bytes with zeros behind it; a slot that is too small
    for 64 bytes holds the link to them.
    """
    whole = asked if slot == _REPORT_DATA else link(slot, asked)
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


def _hex(text: str, option: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as exc:
        raise click.BadParameter("expected hex digits", param_hint=option) from exc


def _sized_hex(text: str) -> bytes:
    value = _hex(text, "--report-data")
    if len(value) != REPORT_DATA_BYTES:
        raise click.BadParameter("expected 64 bytes in hex", param_hint="--report-data")
    return value

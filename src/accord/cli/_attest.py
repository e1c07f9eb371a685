# SPDX-License-Identifier: Apache-2.0
"""`accord attest`: evidence in, verdict out; evidence of this machine; reference values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from accord.attesters import open_collector
from accord.cli._answer import document, facts, lines, not_checked, warnings
from accord.cli._explain import explain_question
from accord.cli._options import PATH, simulated_option, with_output, writing
from accord.cli._output import Output, error_document
from accord.cli._verification import (
    Answer,
    Question,
    question_options,
    read_question,
    read_report_data,
    verified,
)
from accord.collateral import Verdict
from accord.encoding import JSONValue
from accord.errors import AppraisalError, ExitCode
from accord.evidence import Evidence, Role, appraise, evaluate
from accord.policy import Family


@click.group("attest")
def group() -> None:
    """Evidence: of this machine, of others, and what this code measures as."""


@group.command()
@question_options
@click.option("--out", "target", type=PATH, help="Store the verdict with all that it rests on.")
@with_output
def verify(out: Output, /, target: Path | None, **asked: Any) -> int | None:
    """Verify evidence offline: QUOTE is raw, hex or base64, our document, or a stored verdict.

    Trusts the vendors' pinned roots, or the anchors named instead. Collateral comes from
    --collateral, else from the cache, never from the network. Exit code 0 if it verifies (and
    the policy admits it, if one is given), 1 if the policy refuses it, 3 if it does not verify.

    \b
    Example:
      accord attest verify quote.dat --collateral collateral.json --now 2025-07-01T00:00:00Z
      accord attest verify evidence.json --report-data $HEX --policy variants.yaml --json
    """
    question = read_question(**asked)
    answer = verified(question)
    if question.variants:
        try:
            result = appraise(answer.claims, question.variants, now=question.now)
        except AppraisalError as error:
            return _refused(out, error, question, answer)
        answer = replace(answer, result=result)
    facts(out, question, answer)
    for warning in warnings(question, answer):
        out.warn(warning)
    for point in not_checked(answer):
        out.note(f"not checked: {point}")
    if target is not None:
        _store(target, question, answer)
        out.note(f"verdict stored in {target}")
    out.result(document(question, answer), lines(answer))
    return None


def _refused(out: Output, error: AppraisalError, question: Question, answer: Answer) -> int:
    """The policy's refusal: with --json one document, which is an error and says why."""
    if out.json:
        refused = evaluate(answer.claims, question.variants, now=question.now)
        found = document(question, replace(answer, result=refused))
        out.result(error_document(error) | {"attestation": found}, ())
    else:
        out.error(error)
    return ExitCode.FAILURE


def _store(target: Path, question: Question, answer: Answer) -> None:
    verdict = Verdict(
        evidence=question.evidence,
        anchors=question.anchors,
        now=question.now,
        report_data=question.report_data,
        policy=question.policy,
        result=document(question, answer),
    )
    path = target / f"verdict-{question.evidence.digest.removeprefix('sha256:')[:16]}.json"
    path = path if target.is_dir() else target
    with writing(path):
        path.write_bytes(verdict.to_bytes())


@group.command()
@question_options
@click.option("--full", is_flag=True, help="Show every byte of every field.")
@with_output
def explain(out: Output, /, full: bool, **asked: Any) -> int | None:  # noqa: FBT001 - click's
    """Draw evidence as a tree: its fields, who vouches for it, and each step of verifying it.

    Takes the same options as `verify`, and works for evidence that does not verify: then it
    shows where that failed, and ends with 3, or with 1 if only the policy refuses it.

    \b
    Example:
      accord attest explain quote.dat --collateral collateral.json --now 2025-07-01T00:00:00Z
    """
    question = read_question(**asked)
    explained = explain_question(question)
    for warning in explained.warnings:
        out.warn(warning)
    out.result(explained.document(), explained.tree(full=full))
    if explained.error is not None:
        out.refusal(explained.error)
    return explained.exit_code


@group.command()
@click.option(
    "--family",
    type=click.Choice([family.value for family in Family]),
    help="Which TEE; without it, the one that this machine has.",
)
@click.option("--simulated", type=PATH, help="Folder of a simulated TEE. NOT HARDWARE.")
@click.option("--report-data", metavar="HEX", help="The 64 bytes to bind it to.")
@click.option("--nonce", metavar="HEX", help="A verifier's nonce of at most 64 bytes.")
@click.option("--out", "target", type=PATH, help="Write the evidence to this file.")
@click.option("--raw", is_flag=True, help="Only what the hardware signed, without attachments.")
@click.option("--network", is_flag=True, help="Let the collector ask Azure's metadata service.")
@with_output
def get(
    out: Output,
    family: str | None,
    simulated: Path | None,
    report_data: str | None,
    nonce: str | None,
    target: Path | None,
    raw: bool,  # noqa: FBT001 - click's
    network: bool,  # noqa: FBT001 - click's
) -> None:
    """Collect evidence of this machine, or of a simulation if that is asked for.

    \b
    Example:
      accord attest get --family tdx --report-data $HEX --out evidence.json
      accord attest get --family snp --simulated simulated-hardware/snp --out evidence.json
    """
    asked = read_report_data(report_data, nonce)
    if asked is None:
        out.warn("BOUND TO NOTHING: 64 zero bytes; give --report-data or --nonce")
        asked = bytes(64)
    kind = None if family is None else Family(family)
    if simulated is None:
        collector = open_collector(kind, network=network)
        out.note(f"asking this machine for {collector.family.value} evidence")
        evidence, anchors = collector.collect(asked), None
    elif kind is None:
        raise click.UsageError("--simulated needs --family")
    else:
        evidence, anchors = _simulate(out, kind, simulated, asked)
    data = evidence.blob if raw else evidence.to_bytes()
    found: dict[str, JSONValue] = {
        "schema": "accord.collected.v1",
        "family": evidence.family.value,
        "simulated": simulated is not None,
        "report_data": asked.hex(),
        "evidence": evidence.to_json(),
    } | ({} if anchors is None else {"anchors": list(anchors)})
    if target is None:
        # Without a file the document itself is the data; raw bytes go to no terminal.
        shown = evidence.blob.hex() if raw else evidence.to_bytes().decode()
        out.result(found, shown)
        return
    with writing(target):
        target.write_bytes(data)
    out.result(found | {"file": str(target)}, f"{evidence.family.value} evidence in {target}")


def _simulate(
    out: Output, family: Family, home: Path, asked: bytes
) -> tuple[Evidence, tuple[str, ...]]:
    from accord.testing import create_simulated, simulated_anchors

    out.warn("SIMULATED: real bytes under a test root, and no protection at all")
    with writing(home):
        simulator = create_simulated(family, home)
    anchors = simulated_anchors(simulator)
    for anchor in anchors:
        out.note(f"its test root: {anchor}")
    return simulator.collect(asked), anchors


@group.command()
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    required=True,
    help="The trust service, or the shield that runs programs.",
)
@simulated_option
@with_output
def reference(out: Output, role: str, simulated: Path) -> None:
    """Print trust anchor and attestation variant of this installation.

    Compute it yourself, from code that you reviewed: a value that somebody sends you proves
    nothing.

    \b
    Example: accord attest reference --role shield --simulated simulated-hardware/host-2
    """
    from accord.testing import SimulatedPlatform, simulated_measurements

    platform = SimulatedPlatform.load(simulated)
    measured = simulated_measurements(Role(role))
    named = {name: [measured[name].hex()] for name in ("mrtd", "rtmr0", "mrconfigid")}
    variant = {"family": "tdx", "simulated": True, "measurements": named}
    out.warn("SIMULATED: measured in software, by the program that is being measured")
    out.result(
        {"anchors": [platform.vendor.root_digest], "attestation": [variant]},
        [
            f"anchor      {platform.vendor.root_digest}",
            *(f"{name.ljust(11)} {values[0]}" for name, values in named.items()),
        ],
    )

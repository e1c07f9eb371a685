# SPDX-License-Identifier: Apache-2.0
"""`accord attest`: evidence in, verdict out; evidence of this machine; reference values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from accord.cli._answer import document, facts, lines, not_checked, warnings
from accord.cli._attest_enrol import enrol
from accord.cli._attest_get import get
from accord.cli._explain import explain_question
from accord.cli._options import PATH, simulated_option, with_output, write_file
from accord.cli._output import Output, error_document
from accord.cli._result import Token, read_result, read_token, write_token
from accord.cli._verification import (
    Answer,
    Question,
    question_options,
    read_question,
    verified,
)
from accord.collateral import Verdict
from accord.errors import AppraisalError, ExitCode
from accord.evidence import Role, appraise, evaluate


@click.group("attest")
def group() -> None:
    """Evidence: of this machine, of others, and what this code measures as."""


group.add_command(get)
group.add_command(enrol)
group.add_command(read_result)


@group.command()
@question_options
@click.option("--out", "target", type=PATH, help="Store the verdict with all that it rests on.")
@click.option("--ear", type=PATH, help="Write the attestation result as a signed token.")
@click.option(
    "--ear-format",
    type=click.Choice(["jwt", "cwt"]),
    default="jwt",
    show_default=True,
    help="Which token.",
)
@click.option("--key", type=PATH, metavar="HOME", help="The identity that signs the token.")
@with_output
def verify(
    out: Output,
    /,
    target: Path | None,
    ear: Path | None,
    ear_format: str,
    key: Path | None,
    **asked: Any,
) -> int | None:
    """Verify evidence offline: QUOTE is raw, hex or base64, our document, or a stored verdict.

    QUOTE may be - for standard input.

    Trusts the vendors' pinned roots, or the anchors named instead. Collateral comes from
    --collateral, else from the cache, never from the network. Exit code 0 if it verifies (and
    the policy admits it, if one is given), 1 if the policy refuses it, 3 if it does not verify.

    \b
    Example:
      accord attest verify quote.dat --collateral collateral.json --now 2025-07-01T00:00:00Z
      accord attest verify evidence.json --report-data $HEX --policy variants.yaml --json
    """
    question = read_question(**asked)
    token = read_token(ear, ear_format, key, policy=bool(question.variants))
    answer = verified(question)
    if question.variants:
        try:
            result = appraise(answer.claims, question.variants, now=question.now)
        except AppraisalError as error:
            return _refused(out, error, question, answer, token)
        answer = replace(answer, result=result)
        _sign(out, token, question, answer)
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


def _sign(out: Output, token: Token | None, question: Question, answer: Answer) -> None:
    if token is not None and answer.result is not None:
        given = question.nonce if question.nonce is not None else question.report_data
        write_token(token, answer.result, nonce=given)
        out.note(f"attestation result signed by {token.identity.public.name} in {token.path}")


def _refused(
    out: Output, error: AppraisalError, question: Question, answer: Answer, token: Token | None
) -> int:
    """The policy's refusal: with --json one document, which is an error and says why."""
    refused = evaluate(answer.claims, question.variants, now=question.now)
    _sign(out, token, question, replace(answer, result=refused))
    if out.json:
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
    write_file(path, verdict.to_bytes())


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

# SPDX-License-Identifier: Apache-2.0
"""`accord policy`: checking, comparing and converting offline, and what is in force."""

from __future__ import annotations

import json
from pathlib import Path

import click

from accord.cli._options import (
    PATH,
    home_option,
    read_digest,
    read_file,
    service_url,
    with_output,
)
from accord.cli._output import Output, table
from accord.client import MemberHome
from accord.encoding import JSONValue
from accord.errors import ExitCode, NoPolicyError, PolicyVersionError
from accord.policy import (
    Change,
    Finding,
    Policy,
    Severity,
    carried_over,
    diff,
    import_scone,
    lint,
    parse_policy,
    parse_yaml,
    policy_schema,
    resolve,
)
from accord.release import Machine


@click.group("policy")
def group() -> None:
    """Policies: who may run what on whose data, and who reads what comes out."""


def _show(out: Output, policy: Policy) -> None:
    sentences = [change.sentence for change in diff(None, policy)]
    out.result(
        {"digest": policy.digest, "policy": policy.to_json(), "sentences": sentences},
        [f"policy  {policy.name}", f"digest  {policy.digest}", *sentences],
    )


def _read(home: Path) -> Machine:
    member = MemberHome.load(home, service=service_url())
    with member.connect() as session:
        _, machine, _ = member.read(session)
    return machine


def _versions(home: Path, name: str) -> tuple[Machine, list[Policy]]:
    """The board, and every version of a policy on it. Raises ``NoPolicyError``."""
    machine = _read(home)
    versions = machine.board.policies.get(name)
    if not versions:
        raise NoPolicyError(policy=name)
    return machine, versions


@group.command()
@click.argument("file", type=PATH)
@with_output
def check(out: Output, file: Path) -> None:
    """Check a policy FILE offline and say in sentences what it allows.

    \b
    Example: accord policy check policy.yaml
    """
    _show(out, parse_policy(read_file(file)))


@group.command()
@click.argument("file", type=PATH)
@with_output
def digest(out: Output, file: Path) -> None:
    """Print the digest of the policy in FILE: what is voted on.

    \b
    Example: accord policy digest policy.yaml
    """
    policy = parse_policy(read_file(file))
    out.result({"policy": policy.name, "digest": policy.digest}, policy.digest)


@group.command("resolve")
@click.argument("file", type=PATH)
@home_option
@with_output
def resolve_(out: Output, file: Path, home: Path) -> None:
    """Fill in what the services of policy FILE take from other policies of your board.

    Prints the whole policy, which is what you propose and everybody votes on. Keep FILE: when a
    fragment changes, resolve it again.

    \b
    Example: accord policy resolve policy.yaml --home hospital-a > resolved.json
    """
    versions = _read(home).board.policies
    in_force = {name: found[-1] for name, found in versions.items()}
    policy = resolve(parse_yaml(read_file(file)), in_force)
    taken = [
        f"service {name}: fragment {use.fragment} of {use.policy}, version {use.version}"
        for name, service in policy.services.items()
        for use in service.fragments
    ]
    out.result(
        {"digest": policy.digest, "policy": policy.to_json()},
        json.dumps(policy.to_json(), indent=2).splitlines(),
    )
    for line in taken:
        out.note(line)


@group.command("diff")
@click.argument("old", type=PATH)
@click.argument("new", type=PATH)
@with_output
def diff_(out: Output, old: Path, new: Path) -> None:
    """Say what changes from policy OLD to policy NEW, and which secrets would change.

    + becomes true, - stops being true, ~ is a secret or certificate that gets another value.

    \b
    Example: accord policy diff in-force.yaml policy.yaml
    """
    before, after = parse_policy(read_file(old)), parse_policy(read_file(new))
    changes = diff(before, after)
    fates = carried_over(before.secrets, after.secrets)
    document = {
        "old": before.digest,
        "new": after.digest,
        "changes": [change.to_json() for change in changes],
        "secrets": {name: fate.value for name, fate in fates.items()},
    }
    out.result(document, list(map(_line, changes)))
    if not changes:
        out.note("nothing changes")


def _line(change: Change) -> str:
    return f"{change.sign} {change.sentence}"


@group.command("lint")
@click.argument("file", type=PATH)
@click.option("--previous", type=PATH, help="The version that it replaces.")
@click.option(
    "--home",
    type=PATH,
    envvar="ACCORD_HOME",
    help="Folder of your identity (or ACCORD_HOME): looks at your board, too.",
)
@click.option("--strict", is_flag=True, help="Fail on warnings, too.")
@with_output
def lint_(
    out: Output, /, file: Path, *, previous: Path | None, home: Path | None, strict: bool
) -> int:
    """Look in policy FILE for what is allowed and probably not meant.

    With your home it also knows the members, the version in force and the other policies.
    Fails if there are errors.

    \b
    Example: accord policy lint policy.yaml --home hospital-a --strict
    """
    policy = parse_policy(read_file(file))
    before = parse_policy(read_file(previous)) if previous is not None else None
    if home is None:
        findings = lint(policy, previous=before)
    else:
        board = _read(home).board
        findings = lint(
            policy,
            previous=before or board.policy(policy.name),
            members={name: member.roles for name, member in board.members.items()},
            policies={name: versions[-1] for name, versions in board.policies.items()},
            witnessed=board.charter.witnesses is not None,
        )
    _show_findings(out, policy, findings)
    fatal = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    return ExitCode.FAILURE if any(item.severity in fatal for item in findings) else ExitCode.OK


def _show_findings(out: Output, policy: Policy, findings: tuple[Finding, ...]) -> None:
    lines = []
    for item in findings:
        lines.append(f"{item.severity.value:<7}  {item.code}  {item.where}: {item.sentence}")
        lines.append(f"{'':<9}{item.hint}")
    listed = [item.to_json() for item in findings]
    out.result({"policy": policy.name, "digest": policy.digest, "findings": listed}, lines)
    counts = {kind: sum(item.severity is kind for item in findings) for kind in Severity}
    out.note(", ".join(f"{number} {kind.value}s" for kind, number in counts.items()))


@group.command()
@click.argument("name")
@click.option("--digest", "wanted", help="Another version than the one in force.")
@home_option
@with_output
def show(out: Output, name: str, wanted: str | None, home: Path) -> None:
    """Show the version of policy NAME that is in force, or one that ever was.

    \b
    Example: accord policy show hospitals --home clinic
    """
    version = read_digest(wanted, option="--digest") if wanted is not None else None
    _, versions = _versions(home, name)
    found = [item for item in versions if version in (None, item.digest)]
    if not found:
        raise PolicyVersionError(policy=name, digest=version)
    _show(out, found[-1])


@group.command()
@click.argument("name")
@home_option
@with_output
def log(out: Output, name: str, home: Path) -> None:
    """List all versions of policy NAME, oldest first, and who approved each.

    \b
    Example: accord policy log hospitals --home clinic
    """
    machine, versions = _versions(home, name)
    listed = [_version(machine, policy) for policy in versions]
    rows = [
        (item["digest"], item["author"], ", ".join(item["approved"]), item["title"])
        for item in listed
    ]
    document = {"policy": name, "versions": listed}
    out.result(document, table(("digest", "proposed by", "approved by", "title"), rows))


def _version(machine: Machine, policy: Policy) -> dict[str, JSONValue]:
    record = machine.board.enacted_by(policy.digest)
    return {
        "digest": policy.digest,
        "predecessor": policy.predecessor,
        "proposal": record.id,
        "title": record.proposal.title,
        "author": record.proposal.author,
        "approved": sorted(record.approvals),
        "rejected": sorted(record.rejections),
    }


@group.command()
@with_output
def schema(out: Output) -> None:
    """Print the JSON Schema of policies, for editors that complete and check as you type.

    \b
    Example: accord policy schema --json > policy.schema.json
    """
    document = policy_schema()
    Output(json=True).result(document, "")
    if not out.json:
        out.note("JSON Schema 2020-12; what it lets through `accord policy check` may refuse")


@group.command("import-scone")
@click.argument("file", type=PATH)
@with_output
def import_scone_(out: Output, file: Path) -> int:
    """Convert a SCONE session (language 0.3) in FILE, and list what has no equivalent.

    The policy goes to stdout. Where something is missing it is a draft, and the command fails
    with exit code 4. Explicit values of secrets are never repeated.

    \b
    Example: accord policy import-scone session.yaml > policy.yaml
    """
    made = import_scone(read_file(file))
    document = {
        "policy": dict(made.document),
        "missing": [item.to_json() for item in made.missing],
        "notes": [item.to_json() for item in made.notes],
    }
    out.result(document, made.to_yaml().splitlines())
    for item in made.notes:
        out.note(f"{item.where}: {item.sentence}")
    for item in made.missing:
        out.warn(f"{item.where}: {item.sentence}")
    return ExitCode.DENIED if made.missing else ExitCode.OK

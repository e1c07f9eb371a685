# SPDX-License-Identifier: Apache-2.0
"""Which data and code a result came from, and what came of an asset, over several runs.

Read off the replayed state alone. Volumes are told by their tags, assets by their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from accord.encoding import Digest, JSONValue, format_time
from accord.errors import NoSuchResultError
from accord.policy import Policy
from accord.release._machine import Machine
from accord.release._run import STATEMENT_TYPE, RunOutput, RunRecord

LINEAGE_TYPE = "urn:accord:predicate:lineage:v1"


@dataclass(frozen=True, slots=True)
class Ingredient:
    """A volume that went into a run, and which run it came out of, if any on this board."""

    asset: str
    tag: Digest
    made_by: tuple[str, str] | None
    """Run and name of the output; ``None`` for what its owner brought."""

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {"asset": self.asset, "tag": self.tag}
        if self.made_by is not None:
            run, output = self.made_by
            document["made_by"] = {"run": run, "output": output}
        return document


@dataclass(frozen=True, slots=True)
class Step:
    """One run, and what went in and came out."""

    record: RunRecord
    inputs: tuple[Ingredient, ...]

    @property
    def run(self) -> str:
        return self.record.release.run

    @property
    def outputs(self) -> tuple[RunOutput, ...]:
        return () if self.record.statement is None else self.record.statement.outputs

    @property
    def assets(self) -> frozenset[str]:
        """Volumes and deposited secrets that the release used, whatever became of the run."""
        return frozenset(use.asset for use in self.record.release.uses)

    def to_json(self) -> JSONValue:
        release, statement = self.record.release, self.record.statement
        return {
            "run": self.run,
            "entry": self.record.index,
            "policy": release.policy,
            "policy_digest": release.policy_digest,
            "service": release.service,
            "assurance": release.assurance.value,
            "outcome": "running" if statement is None else statement.outcome.value,
            "inputs": [item.to_json() for item in self.inputs],
            "secrets": [use.to_json() for use in release.secrets],
            "outputs": [{"name": item.name, "tag": item.tag} for item in self.outputs],
        }


@dataclass(frozen=True, slots=True)
class Derived:
    """A result that an asset went into, through so many runs."""

    run: str
    output: str
    tag: Digest
    runs_between: int
    """0 where the asset went into the very run that made it."""

    def to_json(self) -> JSONValue:
        return {
            "run": self.run,
            "output": self.output,
            "tag": self.tag,
            "runs_between": self.runs_between,
        }


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run that was released what an asset gave it, and has not ended."""

    run: str
    lease_until: datetime | None
    """``None`` for a run without a lease: nothing ends it but its own time limit."""

    def to_json(self) -> JSONValue:
        until = None if self.lease_until is None else format_time(self.lease_until)
        return {"run": self.run, "lease_until": until}


class Lineage:
    """The runs of a board as a graph, as of the entries that ``machine`` has applied."""

    def __init__(self, machine: Machine) -> None:
        steps: dict[str, Step] = {}
        made: dict[Digest, tuple[str, str]] = {}
        # A volume exists before it is voted on and used: releases are in a fit order.
        for run, record in machine.runs.items():
            steps[run] = Step(record, _inputs(machine.policy_of(record.release), record, made))
            for output in steps[run].outputs:
                made.setdefault(output.tag, (run, output.name))
        self.board = machine.board.board
        self.steps: Mapping[str, Step] = MappingProxyType(steps)
        self.made: Mapping[Digest, tuple[str, str]] = MappingProxyType(made)
        """By tag, run and name of the output."""

        self._assets = machine.board.assets

    def find(self, name: str) -> str:
        """The run that ``name`` is, or that made it: a run, a tag, an asset, or RUN/OUTPUT.

        Raises ``NoSuchResultError``.
        """
        if name in self.steps:
            return name
        run, _, output = name.partition("/")
        if run in self.steps and any(item.name == output for item in self.steps[run].outputs):
            return run
        record = self._assets.get(name)
        made = self.made.get(Digest(name) if record is None else record.offer.tag)
        if made is None:
            raise NoSuchResultError(name=name)
        return made[0]

    def ancestry(self, run: str) -> tuple[Step, ...]:
        """The run and all that its inputs came out of, the latest first, each once."""
        found, waiting = {run}, [run]
        while waiting:
            for item in self.steps[waiting.pop()].inputs:
                if item.made_by is not None and item.made_by[0] not in found:
                    found.add(item.made_by[0])
                    waiting.append(item.made_by[0])
        steps = [self.steps[name] for name in found]
        return tuple(sorted(steps, key=lambda step: step.record.index, reverse=True))

    def derived(self, asset: str) -> tuple[Derived, ...]:
        """Every result that any version of ``asset`` went into, in the order of the runs.

        What somebody did with a result outside of this board is *not* known.
        """
        return tuple(
            Derived(run, output.name, output.tag, distance)
            for run, distance in self._touched(asset).items()
            for output in self.steps[run].outputs
        )

    def live(self, asset: str, *, now: datetime) -> tuple[LiveRun, ...]:
        """Every run that holds something of ``asset`` and has not ended, nor lost its lease.

        Whether the shield still runs is *not* known: it may have ended without a word.
        """
        records = (self.steps[run].record for run in self._touched(asset))
        return tuple(
            LiveRun(record.release.run, record.lease_until)
            for record in records
            if record.statement is None and (record.lease_until is None or record.lease_until > now)
        )

    def _touched(self, asset: str) -> dict[str, int]:
        """The runs that the asset went into, directly or not, and through how many others."""
        touched: dict[str, int] = {}
        for run, step in self.steps.items():
            if asset in step.assets:
                touched[run] = 0
                continue
            made_by = (item.made_by for item in step.inputs)
            far = [touched[made[0]] for made in made_by if made and made[0] in touched]
            if far:
                touched[run] = 1 + min(far)
        return touched


def lineage_statement(lineage: Lineage, run: str) -> JSONValue:
    """An in-toto Statement v1 of what the outputs of ``run`` came from.

    It is signed by nobody: whoever has the log makes the same bytes.
    """
    return {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": output.name, "digest": {"sha256": output.tag.removeprefix("sha256:")}}
            for output in lineage.steps[run].outputs
        ],
        "predicateType": LINEAGE_TYPE,
        "predicate": {
            "board": lineage.board,
            "run": run,
            "steps": [step.to_json() for step in lineage.ancestry(run)],
        },
    }


def _inputs(
    policy: Policy, record: RunRecord, made: Mapping[Digest, tuple[str, str]]
) -> tuple[Ingredient, ...]:
    """As the policy says: a run that has not ended used them as well."""
    service = policy.services[record.release.service]
    return tuple(Ingredient(item.asset, item.tag, made.get(item.tag)) for item in service.inputs)

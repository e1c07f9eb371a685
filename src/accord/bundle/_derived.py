# SPDX-License-Identifier: Apache-2.0
"""The parts of a bundle that follow from its log: made by one rule, compared byte by byte.

They are there for the tools of others (in-toto, C2SP): who has one of them need not know Accord.
"""

from __future__ import annotations

from accord.encoding import canonical_json
from accord.identity import sign_statement
from accord.ledger import Ledger, LogProof, PolicyKey, TrustPolicy, policy_text
from accord.release import Lineage, Machine, RunRecord, lineage_statement, log_origin

RUN_STATEMENT = "run.intoto.json"
LINEAGE = "lineage.intoto.json"
RELEASE_PROOF = "release.tlog-proof"
RUN_PROOF = "run.tlog-proof"
POLICY = "witnesses.tlog-policy"
DERIVED = (LINEAGE, RELEASE_PROOF, RUN_PROOF, RUN_STATEMENT, POLICY)


def derived_files(
    ledger: Ledger, machine: Machine, note: bytes, record: RunRecord
) -> dict[str, bytes]:
    """By name, every file that is not an entry, an object, the checkpoint or the manifest.

    Of a run that has not ended there is no statement, nor a proof of one.
    """
    run = record.release.run

    def proof(index: int) -> bytes:
        return LogProof(index, ledger.inclusion_proof(index), note).to_bytes()

    files = {
        LINEAGE: canonical_json(lineage_statement(Lineage(machine), run)),
    }
    files |= {RELEASE_PROOF: proof(record.index), POLICY: _policy(machine, ledger.size).encode()}
    if record.statement is not None:
        said = sign_statement("run", record.statement.to_json(), [])
        index = machine.board.recorded[said.statement_digest]
        files[RUN_PROOF] = proof(index)
        files[RUN_STATEMENT] = ledger.entry(index).envelope.to_bytes()
    return files


def _policy(machine: Machine, size: int) -> str:
    """Whose signatures make a checkpoint of this board believed (c2sp.org/tlog-policy)."""
    if machine.log_key is None:
        message = "a board on which something was released has a log key"
        raise RuntimeError(message)
    board = machine.board
    origin = log_origin(board.board, board.generation(size))
    logs = (PolicyKey(origin, machine.log_key),)
    policy = board.charter.witnesses
    if policy is None:
        return policy_text(TrustPolicy(logs, {}, {}, None))
    groups: dict[str, list[PolicyKey]] = {group: [] for group in policy.groups}
    for witness in sorted(policy.witnesses, key=lambda item: item.name):
        groups[witness.group].append(PolicyKey(witness.name, witness.key, witness.url))
    return policy_text(TrustPolicy.of_groups(logs=logs, groups=groups, quorum=policy.quorum))

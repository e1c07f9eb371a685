# SPDX-License-Identifier: Apache-2.0
"""Governance: genesis, charter, assets and their terms, proposals, ballots, executions."""

from accord.board._action import (
    AcceptTag,
    AddMember,
    Amendment,
    EnactPolicy,
    ForkHead,
    ProposedAction,
    RemoveMember,
    ReplaceConstitution,
    ReplaceService,
    ReplaceWitnesses,
    ResolveFork,
    ResumeExecution,
    RotateKeys,
    UpdateMember,
    read_action,
)
from accord.board._approval import ApprovalAnswer, ApprovalRequest
from accord.board._asset import AssetKind, AssetOffer, AssetWithdrawal, Terms
from accord.board._charter import Charter
from accord.board._constitution import Action, ActionRule, Constitution
from accord.board._execution import (
    WHOLE_BOARD,
    ExecutionStop,
    InstanceToken,
    StopRecord,
    parse_scope,
)
from accord.board._genesis import Freshness, Genesis, verify_genesis
from accord.board._lint import Finding, lint_constitution
from accord.board._member import ApprovalService, Member
from accord.board._proposal import (
    Ballot,
    Choice,
    Enactment,
    Proposal,
    ProposalWithdrawal,
)
from accord.board._record import (
    AssetRecord,
    ProposalRecord,
    ProposalStatus,
    Requirement,
    keys_digest,
)
from accord.board._recovery_open import recovery_missing
from accord.board._recovery_plan import MAX_HOLDERS, RecoveryPlan
from accord.board._requirements import Needs, check_usable, is_current, needs
from accord.board._snapshot import MAX_RECORDS, board_to_json, read_board
from accord.board._state import BoardState
from accord.board._tag import TagRecord, tag_name
from accord.board._witness import Witness, WitnessPolicy, required, witness_changes
from accord.policy import AFFECTED_OWNERS, Electorate, Rule, RuleKind

__all__ = [
    "AFFECTED_OWNERS",
    "MAX_HOLDERS",
    "MAX_RECORDS",
    "WHOLE_BOARD",
    "AcceptTag",
    "Action",
    "ActionRule",
    "AddMember",
    "Amendment",
    "ApprovalAnswer",
    "ApprovalRequest",
    "ApprovalService",
    "AssetKind",
    "AssetOffer",
    "AssetRecord",
    "AssetWithdrawal",
    "Ballot",
    "BoardState",
    "Charter",
    "Choice",
    "Constitution",
    "Electorate",
    "EnactPolicy",
    "Enactment",
    "ExecutionStop",
    "Finding",
    "ForkHead",
    "Freshness",
    "Genesis",
    "InstanceToken",
    "Member",
    "Needs",
    "Proposal",
    "ProposalRecord",
    "ProposalStatus",
    "ProposalWithdrawal",
    "ProposedAction",
    "RecoveryPlan",
    "RemoveMember",
    "ReplaceConstitution",
    "ReplaceService",
    "ReplaceWitnesses",
    "Requirement",
    "ResolveFork",
    "ResumeExecution",
    "RotateKeys",
    "Rule",
    "RuleKind",
    "StopRecord",
    "TagRecord",
    "Terms",
    "UpdateMember",
    "Witness",
    "WitnessPolicy",
    "board_to_json",
    "check_usable",
    "is_current",
    "keys_digest",
    "lint_constitution",
    "needs",
    "parse_scope",
    "read_action",
    "read_board",
    "recovery_missing",
    "required",
    "tag_name",
    "verify_genesis",
    "witness_changes",
]

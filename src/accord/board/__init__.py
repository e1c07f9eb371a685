# SPDX-License-Identifier: Apache-2.0
"""Governance: genesis, charter, assets and their terms, proposals, ballots, executions."""

from accord.board._action import (
    AddMember,
    Amendment,
    EnactPolicy,
    ProposedAction,
    RemoveMember,
    ReplaceConstitution,
    ReplaceService,
    ResumeExecution,
    UpdateMember,
    read_action,
)
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
from accord.board._member import ApprovalService, Member
from accord.board._proposal import (
    Ballot,
    Choice,
    Enactment,
    Proposal,
    ProposalWithdrawal,
)
from accord.board._record import AssetRecord, ProposalRecord, ProposalStatus, Requirement
from accord.board._requirements import is_current, owner_of, requirements
from accord.board._state import BoardState
from accord.policy import AFFECTED_OWNERS, Electorate, Rule, RuleKind

__all__ = [
    "AFFECTED_OWNERS",
    "WHOLE_BOARD",
    "Action",
    "ActionRule",
    "AddMember",
    "Amendment",
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
    "Freshness",
    "Genesis",
    "InstanceToken",
    "Member",
    "Proposal",
    "ProposalRecord",
    "ProposalStatus",
    "ProposalWithdrawal",
    "ProposedAction",
    "RemoveMember",
    "ReplaceConstitution",
    "ReplaceService",
    "Requirement",
    "ResumeExecution",
    "Rule",
    "RuleKind",
    "StopRecord",
    "Terms",
    "UpdateMember",
    "is_current",
    "owner_of",
    "parse_scope",
    "read_action",
    "requirements",
    "verify_genesis",
]

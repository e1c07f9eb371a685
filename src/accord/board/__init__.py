# SPDX-License-Identifier: Apache-2.0
"""Governance: genesis, constitution, assets and their terms, proposals, ballots."""

from accord.board._asset import AssetOffer, AssetWithdrawal, Terms
from accord.board._constitution import (
    AFFECTED_OWNERS,
    Action,
    Constitution,
    Electorate,
    Rule,
    RuleKind,
)
from accord.board._genesis import Freshness, Genesis, Member, verify_genesis
from accord.board._proposal import Ballot, Choice, Enactment, Proposal
from accord.board._state import AssetRecord, BoardState, ProposalRecord, ProposalStatus

__all__ = [
    "AFFECTED_OWNERS",
    "Action",
    "AssetOffer",
    "AssetRecord",
    "AssetWithdrawal",
    "Ballot",
    "BoardState",
    "Choice",
    "Constitution",
    "Electorate",
    "Enactment",
    "Freshness",
    "Genesis",
    "Member",
    "Proposal",
    "ProposalRecord",
    "ProposalStatus",
    "Rule",
    "RuleKind",
    "Terms",
    "verify_genesis",
]

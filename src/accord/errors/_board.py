# SPDX-License-Identifier: Apache-2.0
"""Errors of family BRD: genesis, constitution, proposals, ballots, assets."""

from accord.errors._base import AccordError, ExitCode


class BoardError(AccordError):
    """{detail}"""


class GenesisError(BoardError):
    """the genesis cannot found a board: {detail}"""

    code = "accord-BRD-001"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "every founder must sign the same document: compare the digests that signing printed"


class ConstitutionError(BoardError):
    """the constitution is unusable at {where}: {detail}"""

    code = "accord-BRD-002"
    exit_code = ExitCode.USAGE
    hint = "a rule nobody can satisfy, or that everybody always satisfies, is refused"


class NotAMemberError(BoardError):
    """{who} may not say this on board {board}: {detail}"""

    code = "accord-BRD-003"
    exit_code = ExitCode.DENIED
    hint = "statements must be signed by the one member they speak for"


class WrongBoardError(BoardError):
    """the statement was made for board {found}, not for {expected}"""

    code = "accord-BRD-004"
    exit_code = ExitCode.DENIED
    hint = "a signature given to one board is worth nothing on another"


class StaleStatementError(BoardError):
    """{what} was written against {found}, but {expected} is current"""

    code = "accord-BRD-005"
    exit_code = ExitCode.DENIED
    hint = (
        "somebody was faster: look at the new state, then sign again; "
        "a new version names its predecessor: `accord policy digest`"
    )


class UnknownProposalError(BoardError):
    """there is no proposal {proposal}"""

    code = "accord-BRD-006"
    exit_code = ExitCode.USAGE
    hint = "`accord proposal list` shows them"


class ProposalClosedError(BoardError):
    """proposal {proposal} is {status}, no longer open"""

    code = "accord-BRD-007"
    exit_code = ExitCode.DENIED
    hint = "propose again if it is still wanted"


class ApprovalsMissingError(BoardError):
    """proposal {proposal} still needs the approval of {missing}"""

    code = "accord-BRD-008"
    exit_code = ExitCode.PENDING
    hint = "`accord proposal show` says who has voted; `accord proposal vote` votes"


class UnknownAssetError(BoardError):
    """there is no asset {asset} on this board"""

    code = "accord-BRD-009"
    exit_code = ExitCode.DENIED
    hint = "its owner registers it with `accord asset register`"


class DuplicateStatementError(BoardError):
    """{what} was already recorded as entry {index}"""

    code = "accord-BRD-010"
    exit_code = ExitCode.DENIED
    hint = "nothing to do"


class NoBoardError(BoardError):
    """no board is known at {home}"""

    code = "accord-BRD-011"
    exit_code = ExitCode.USAGE
    hint = "sign a genesis with `accord board sign`; one home belongs to one board"


class NamespaceError(BoardError):
    """policy {policy} cannot be made in that namespace: {detail}"""

    code = "accord-BRD-012"
    exit_code = ExitCode.DENIED
    hint = (
        "the first version names the digest of its parent's version in force: `accord policy show`"
    )


class UnknownStopError(BoardError):
    """there is no stop {stop}, or executions went on since"""

    code = "accord-BRD-013"
    exit_code = ExitCode.DENIED
    hint = "`accord execution status` lists what is stopped"


class EvidenceMissingError(BoardError):
    """the ballot of the automated member {member} names no evidence"""

    code = "accord-BRD-014"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "an automated member votes from inside the environment that the charter names for it"


class EnactmentInvalidError(BoardError):
    """the enactment of {proposal} does not show exactly the public parts of {policy}"""

    code = "accord-BRD-015"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "the trust service broke its own rules; keep the log as evidence"


class TokenError(BoardError):
    """the instance token cannot be issued: {detail}"""

    code = "accord-BRD-016"
    exit_code = ExitCode.DENIED
    hint = "owners of a policy's assets and members with the role operator issue tokens"


class TooManyProposalsError(BoardError):
    """{member} has {limit} open proposals already"""

    code = "accord-BRD-017"
    exit_code = ExitCode.DENIED
    hint = "withdraw those that are not wanted any more: `accord proposal withdraw`"


class ProposalTimeError(BoardError):
    """a proposal that expires at {expires} is not possible: after {earliest}, until {latest}"""

    code = "accord-BRD-018"
    exit_code = ExitCode.DENIED
    hint = "the constitution says how long its notice is and how long voting may take: `--days`"


class ApprovalRefusedError(BoardError):
    """this approval service casts no vote: {detail}"""

    code = "accord-BRD-019"
    exit_code = ExitCode.DENIED
    hint = "without an answer the member has not voted; vote with `accord proposal vote`"


class UnsignedStatementError(BoardError):
    """{path} is no statement that waits for a signature: {detail}"""

    code = "accord-BRD-020"
    exit_code = ExitCode.USAGE
    hint = "`accord proposal prepare` writes such files; they must reach the signer unchanged"


class ProposalImpossibleError(BoardError):
    """nobody could approve this proposal: {source} asks for {missing}"""

    code = "accord-BRD-021"
    exit_code = ExitCode.DENIED
    hint = "a set that means nobody is never satisfied: a policy without assets has no owners"

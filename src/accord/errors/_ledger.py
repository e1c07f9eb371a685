# SPDX-License-Identifier: Apache-2.0
"""Errors of family LED: entries, checkpoints, proofs."""

from accord.errors._base import AccordError, ExitCode


class LedgerError(AccordError):
    """{detail}"""

    exit_code = ExitCode.INTEGRITY


class EntryOrderError(LedgerError):
    """entry {index} was offered where entry {expected} belongs"""

    code = "accord-LED-001"
    hint = "an entry is missing, inserted, repeated or moved; compare with another copy of the log"


class EntryTimeError(LedgerError):
    """entry {index} is dated {time}, before the entry that it follows ({previous})"""

    code = "accord-LED-002"
    hint = "the clock of the trust service went back, or entries were exchanged"


class InclusionError(LedgerError):
    """entry {index} is not proved to be in the log of {size} entries"""

    code = "accord-LED-003"
    hint = "the entry, the proof or the checkpoint was changed, or belongs to another log"


class ConsistencyError(LedgerError):
    """the log of {new_size} entries does not continue the log of {old_size} entries"""

    code = "accord-LED-004"
    hint = "its history was rewritten: keep both checkpoints, they show it to everybody"


class LogSizeError(LedgerError):
    """the log has {size} entries, its checkpoint covers {covered}"""

    code = "accord-LED-005"
    hint = "entries were cut off or added; ask for the log at exactly this checkpoint"


class CheckpointOriginError(LedgerError):
    """the checkpoint is of log {found}, expected {expected}"""

    code = "accord-LED-006"
    hint = "each board has a log of its own; this checkpoint belongs to another one"


class CosignatureUnknownError(LedgerError):
    """the checkpoint has {found} signatures besides the log's, and {known} of witnesses"""

    code = "accord-LED-010"
    hint = "a line was added or changed whose key nobody here knows; it may say anything"


class TileMissingError(LedgerError):
    """there is no tile {index} of width {width} on level {level} of a log of {size} entries"""

    code = "accord-LED-011"
    hint = "fetch the tiles that a verified checkpoint of the log requires, and no others"


class QuorumMissingError(LedgerError):
    """the checkpoint of {origin} has cosignatures by {found}, which is not quorum {quorum}"""

    code = "accord-LED-012"
    hint = "ask for a checkpoint that more of the witnesses of this policy have seen"


class NotCosignedError(LedgerError):
    """entry {index} is not cosigned: {reached} of the {quorum} groups of witnesses saw it"""

    code = "accord-LED-030"
    exit_code = ExitCode.UNREACHABLE
    hint = "nothing leaves before a quorum has: see `accord board status`, and try again"


class LogForkError(LedgerError):
    """the log of this board was forked: {own} entries here, {other} seen by {witness}"""

    code = "accord-LED-031"
    hint = "nothing leaves until members decide by log.fork.resolve: see `accord board status`"


class ForkUnresolvedError(LedgerError):
    """no vote in this log abandons what the home has seen: {size} entries with root {root}"""

    code = "accord-LED-032"
    hint = (
        "it is another history: keep both; if a vote abandoned it at another size, name a service "
        "that still shows it: accord board accept-fork --abandoned-from URL"
    )


class NoForkSeenError(LedgerError):
    """the log of {size} entries continues all that this home has seen"""

    code = "accord-LED-033"
    exit_code = ExitCode.FAILURE
    hint = "there is nothing to accept: see `accord board status`"

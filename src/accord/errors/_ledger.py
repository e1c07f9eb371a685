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

# SPDX-License-Identifier: Apache-2.0
"""Errors of family WIT: witnesses of logs."""

from accord.errors._base import AccordError, ExitCode


class WitnessError(AccordError):
    """{detail}"""

    exit_code = ExitCode.DENIED


class WitnessRequestError(WitnessError):
    """the request is none that a witness answers: {detail}"""

    code = "accord-WIT-001"
    exit_code = ExitCode.USAGE
    hint = "see c2sp.org/tlog-witness"


class LogNotWitnessedError(WitnessError):
    """log {origin} is not witnessed here"""

    code = "accord-WIT-002"
    hint = "whoever runs the witness adds it with `accord witness add`"


class CheckpointNotSignedError(WitnessError):
    """the checkpoint is not signed by the key that is known for log {origin}"""

    code = "accord-WIT-003"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "another key than the one that was added, or a checkpoint that was changed"


class WitnessedSizeError(WitnessError):
    """log {origin} was cosigned at size {size}, and is not continued from {old}"""

    code = "accord-WIT-004"
    hint = "ask again with a proof from that size; a log that has fewer entries was rolled back"


class SplitViewError(WitnessError):
    """log {origin} was cosigned at size {size} with another root"""

    code = "accord-WIT-005"
    exit_code = ExitCode.INTEGRITY
    hint = "it has two histories: the witness keeps both signed checkpoints, they prove it"


class NotContinuedError(WitnessError):
    """log {origin} with {new} entries is not shown to continue the {old} that were cosigned"""

    code = "accord-WIT-006"
    exit_code = ExitCode.INTEGRITY
    hint = "the proof is wrong, or its history was rewritten"


class ReplayRefusedError(WitnessError):
    """log {origin} does not replay at entry {index}: {detail}"""

    code = "accord-WIT-007"
    exit_code = ExitCode.INTEGRITY
    hint = "its service recorded what the board's rules forbid; tell the other members"


class ReplayUnavailableError(WitnessError):
    """the entries of log {origin} cannot be read: {detail}"""

    code = "accord-WIT-008"
    exit_code = ExitCode.UNREACHABLE
    hint = "nothing is cosigned unseen; it is tried again with the next request"


class WitnessStateError(WitnessError):
    """the state of the witness at {path} cannot be used: {detail}"""

    code = "accord-WIT-009"
    exit_code = ExitCode.INTEGRITY
    hint = "never restore it from a backup: make a new witness, and have the boards replace it"


class NoWitnessError(WitnessError):
    """there is no witness at {path}"""

    code = "accord-WIT-010"
    exit_code = ExitCode.USAGE
    hint = "make one with `accord witness init DIR --name NAME`"


class WitnessConflictError(WitnessError):
    """{path} already holds the witness {found}, not {expected}"""

    code = "accord-WIT-011"
    exit_code = ExitCode.USAGE
    hint = "choose another folder; an existing key is never overwritten"


class LogConflictError(WitnessError):
    """log {origin} is witnessed already, as another log or with another key"""

    code = "accord-WIT-012"
    hint = "with --replay a new key that the log records is followed; else `accord witness rekey`"


class LogRetiredError(WitnessError):
    """log {origin} goes on under another name"""

    code = "accord-WIT-013"
    hint = "its members resolved a fork; `accord witness status` shows under which name it goes on"

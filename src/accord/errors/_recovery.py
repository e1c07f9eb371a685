# SPDX-License-Identifier: Apache-2.0
"""Errors of family RCV: root secrets, shares, backups, recovery on another machine."""

from accord.errors._base import AccordError, ExitCode


class RecoveryError(AccordError):
    """{detail}"""


class NoRecoveryPlanError(RecoveryError):
    """board {board} has no shares of a root secret"""

    code = "accord-RCV-001"
    hint = "members vote for `keys.rotate`: accord board rotate-keys --threshold N"


class BackupDamagedError(RecoveryError):
    """the backup does not hold: {detail}"""

    code = "accord-RCV-002"
    exit_code = ExitCode.INTEGRITY
    hint = "it was changed or cut off, or its key is another one; use another copy"


class NotRecoveringError(RecoveryError):
    """board {board} is not being recovered here"""

    code = "accord-RCV-003"
    hint = "the operator starts the service after `accord service restore`"


class LogKeyNeededError(RecoveryError):
    """nobody has opened the log of the backup of board {board} yet"""

    code = "accord-RCV-004"
    exit_code = ExitCode.PENDING
    hint = "any member does: accord recovery show"


class ShareInvalidError(RecoveryError):
    """the share of {member} is refused: {detail}"""

    code = "accord-RCV-005"
    exit_code = ExitCode.DENIED
    hint = "a share is one member's, for one epoch and one boot: accord recovery share"


class SharesMissingError(RecoveryError):
    """the board stays closed; missing: {missing}"""

    code = "accord-RCV-006"
    exit_code = ExitCode.PENDING
    hint = "each of them runs: accord recovery share"


class RecoveryBehindError(RecoveryError):
    """the service brings {size} entries of the log, this home has seen {seen}"""

    code = "accord-RCV-007"
    exit_code = ExitCode.INTEGRITY
    hint = "the backup is old: ask for a newer one before anybody gives a share"


class RootSharesError(RecoveryError):
    """entry {index}: {detail}"""

    code = "accord-RCV-008"
    exit_code = ExitCode.INTEGRITY
    hint = "the trust service that wrote it does not keep the rules; keep the log"


class BootChangedError(RecoveryError):
    """the service started again since it was shown: boot {found}, expected {expected}"""

    code = "accord-RCV-009"
    exit_code = ExitCode.DENIED
    hint = "look again before giving a share: accord recovery show"


class BoardMovedError(RecoveryError):
    """board {board} was handed over to the trust service at {url}"""

    code = "accord-RCV-020"
    exit_code = ExitCode.DENIED
    hint = "nothing is believed of that address before it is attested: accord service follow"


class HandoverRefusedError(RecoveryError):
    """the board is not handed over: {detail}"""

    code = "accord-RCV-021"
    exit_code = ExitCode.DENIED
    hint = "begin again: accord service handover; the log is not changed by what is refused"


class NotHandedOverError(RecoveryError):
    """board {board} was not handed over by this service"""

    code = "accord-RCV-022"
    hint = "it is served here, or by another service: accord board show"


class HandoverInvalidError(RecoveryError):
    """entry {index} hands the log over against the rules: {detail}"""

    code = "accord-RCV-023"
    exit_code = ExitCode.INTEGRITY
    hint = "the trust service that wrote it does not keep the rules; keep the log"

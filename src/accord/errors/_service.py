# SPDX-License-Identifier: Apache-2.0
"""Errors of family SVC: the trust service as a process."""

from accord.errors._base import AccordError, ExitCode


class ServiceError(AccordError):
    """{detail}"""


class StoreConflictError(ServiceError):
    """entry {index} of board {board} cannot be stored: the next one is {expected}"""

    code = "accord-SVC-001"
    hint = "another writer was faster; read the log again and repeat the request"


class StoreIntegrityError(ServiceError):
    """store {path} was changed from outside: {detail}"""

    code = "accord-SVC-002"
    exit_code = ExitCode.INTEGRITY
    hint = "keep the files for inspection; recover from the members' copies of the log"


class StoreBusyError(ServiceError):
    """store {path} is in use by another process"""

    code = "accord-SVC-003"
    hint = "one trust service writes a store at a time; stop the other one first"


class StoreKeyError(ServiceError):
    """store {path} cannot be opened with this key"""

    code = "accord-SVC-004"
    exit_code = ExitCode.DENIED
    hint = "it was made under another key, or its header was changed"


class StoreUnavailableError(ServiceError):
    """store {path} cannot be used: {detail}"""

    code = "accord-SVC-005"
    hint = "check the disk (space, permissions, health), then start the service again"


class UnknownBoardError(ServiceError):
    """this trust service hosts no board {board}"""

    code = "accord-SVC-010"
    exit_code = ExitCode.USAGE
    hint = "found it with `accord board found`, or ask another service"


class ServiceHaltedError(ServiceError):
    """the trust service has stopped working: {detail}"""

    code = "accord-SVC-011"
    exit_code = ExitCode.UNREACHABLE
    hint = "nothing acknowledged is lost; its operator must restart it"


class NoSuchRouteError(ServiceError):
    """there is nothing at {method} {path}"""

    code = "accord-SVC-012"
    exit_code = ExitCode.USAGE
    hint = "docs/reference/api.md lists the routes"


class AssetKeyError(ServiceError):
    """the key deposited for {asset} is not the one its offer commits to"""

    code = "accord-SVC-013"
    exit_code = ExitCode.DENIED
    hint = "register the asset again with the key it was sealed with"


class InternalError(ServiceError):
    """the trust service failed, reference {reference}"""

    code = "accord-SVC-014"
    hint = "its operator finds the reason in the log under this reference"


class NotWriterError(ServiceError):
    """board {board} is written by {writer}, not by this trust service"""

    code = "accord-SVC-020"
    hint = "repeat the request there; reads are answered by every service"


class PostgresMissingError(ServiceError):
    """the driver for PostgreSQL is not installed"""

    code = "accord-SVC-021"
    exit_code = ExitCode.USAGE
    hint = "install it with `pip install 'accord[postgres]'`"


class NotClaimedError(ServiceError):
    """this trust service belongs to nobody yet"""

    code = "accord-SVC-030"
    exit_code = ExitCode.DENIED
    hint = "whoever is to be its owner claims it once: `accord service claim`"


class AlreadyClaimedError(ServiceError):
    """this trust service was claimed already, by the key {owner}"""

    code = "accord-SVC-031"
    exit_code = ExitCode.DENIED
    hint = "if that is not your key, do not use it: start a service with an empty state instead"


class ClaimInvalidError(ServiceError):
    """the owner's statement cannot be accepted: {detail}"""

    code = "accord-SVC-032"
    exit_code = ExitCode.DENIED
    hint = "sign it anew, for this very service: `accord service claim` or `service configure`"


class FoundingRefusedError(ServiceError):
    """this trust service does not take on the board: {detail}"""

    code = "accord-SVC-033"
    exit_code = ExitCode.DENIED
    hint = "its owner decides which boards it serves: `accord service configure`"


class DepositError(ServiceError):
    """the value deposited for {asset} cannot be used: {detail}"""

    code = "accord-SVC-034"
    exit_code = ExitCode.DENIED
    hint = "deposit it again with `accord secret put`"


class ServiceIdentityError(ServiceError):
    """the trust service at {url} is not the one that was named: it signs with {found}"""

    code = "accord-SVC-035"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "another service answers there, or its state was lost; compare what its owner published"


class ApprovalAnswerError(ServiceError):
    """the approval service of {member} did not vote: {detail}"""

    code = "accord-SVC-036"
    hint = "no answer is no vote; the member can vote by hand as well"

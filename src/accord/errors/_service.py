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

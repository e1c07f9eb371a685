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
    hint = (
        "check the disk (space, permissions, health), then start the service again; "
        "for PostgreSQL: is it running, does the database exist"
    )


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
    exit_code = ExitCode.UNREACHABLE
    hint = "repeat it there; if that service has failed, repeat here after ten seconds"


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


class ServiceDismissedError(ServiceError):
    """board {board} does not accept this trust service any more"""

    code = "accord-SVC-037"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "its members replaced it by another one: use that (ACCORD_SERVICE, or --service)"


class MethodNotAllowedError(ServiceError):
    """{method} cannot be done at {path}, only {allowed}"""

    code = "accord-SVC-050"
    exit_code = ExitCode.USAGE
    hint = "docs/reference/api.md lists the routes and their methods"


class SlowRequestError(ServiceError):
    """the request did not arrive whole within {seconds} seconds"""

    code = "accord-SVC-051"
    exit_code = ExitCode.UNREACHABLE
    hint = "send it again over a faster connection"


class PreconditionFailedError(ServiceError):
    """{what} is at {found}, not at {expected}"""

    code = "accord-SVC-052"
    exit_code = ExitCode.DENIED
    hint = "somebody was faster: read the version in force, and propose anew on top of it"


class MediaTypeError(ServiceError):
    """a body of type {found} is not understood, only {expected}"""

    code = "accord-SVC-053"
    exit_code = ExitCode.USAGE
    hint = "send `Content-Type: application/json`, or none"


class PreconditionRequiredError(ServiceError):
    """changing {what} needs the header If-Match, or If-None-Match: * to create it"""

    code = "accord-SVC-054"
    exit_code = ExitCode.USAGE
    hint = "the value is the ETag of the version that the new one replaces"


class TooManyRequestsError(ServiceError):
    """there are too many requests from {who}; try again in {seconds} seconds"""

    code = "accord-SVC-055"
    exit_code = ExitCode.UNREACHABLE
    hint = "wait as long as Retry-After says; the service's owner sets the limits"


class HeaderTooLargeError(ServiceError):
    """the header of the request is larger than the limit of {limit}"""

    code = "accord-SVC-056"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "send fewer and shorter header fields"


class ServiceBusyError(ServiceError):
    """the trust service is working on {limit} requests already"""

    code = "accord-SVC-057"
    exit_code = ExitCode.UNREACHABLE
    hint = "wait as long as Retry-After says"


class HTTPVersionError(ServiceError):
    """only HTTP/1.1 is spoken here, not HTTP/{found}"""

    code = "accord-SVC-058"
    exit_code = ExitCode.USAGE
    hint = "most clients speak HTTP/1.1 unless they are told otherwise"


class FramingError(ServiceError):
    """the request cannot be read in one way only: {detail}"""

    code = "accord-SVC-061"
    exit_code = ExitCode.USAGE
    hint = "HTTP libraries do this right; nothing that was sent after it is read"


class IdempotencyKeyReusedError(ServiceError):
    """the idempotency key came before with another request"""

    code = "accord-SVC-059"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "make a new key, for instance a UUID, for each request"


class IdempotencyKeyBusyError(ServiceError):
    """a request with this idempotency key is still being answered"""

    code = "accord-SVC-060"
    exit_code = ExitCode.PENDING
    hint = "wait for the first answer, or ask again a little later"


class KBSVersionError(ServiceError):
    """the guest speaks version {found} of the Key Broker protocol, not {expected}"""

    code = "accord-SVC-070"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "use guest components that speak one of these versions"


class KBSUnsupportedError(ServiceError):
    """{what} {found} cannot be used over the Key Broker protocol, only {expected}"""

    code = "accord-SVC-071"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "docs/reference/kbs.md lists what is supported"


class KBSSessionError(ServiceError):
    """there is no such session of the Key Broker protocol, or it has ended"""

    code = "accord-SVC-072"
    exit_code = ExitCode.DENIED
    hint = "begin anew with /kbs/v0/auth; guest components do so by themselves"


class KBSCollateralError(ServiceError):
    """the trust service has no endorsements for the guest's {family} platform"""

    code = "accord-SVC-073"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "its operator fetches them: `accord collateral fetch`"


class KBSMissingError(ServiceError):
    """the library for the Key Broker protocol is not installed"""

    code = "accord-SVC-074"
    exit_code = ExitCode.USAGE
    hint = "install accord[kbs], or run the service without --kbs-board"


class KBSBusyError(ServiceError):
    """the trust service has {limit} sessions of the Key Broker protocol already"""

    code = "accord-SVC-075"
    exit_code = ExitCode.UNREACHABLE
    hint = "try again in a few minutes, when some have ended"


class CounterIndexError(ServiceError):
    """index {index} of the TPM is not this trust service's counter: {detail}"""

    code = "accord-SVC-090"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "who deleted or replaced it? docs/explanation/freshness.md says what can be done"


class CounterNeededError(ServiceError):
    """this store was last used with a counter, and must be started with it"""

    code = "accord-SVC-091"
    exit_code = ExitCode.USAGE
    hint = "start it with --counter: without, nobody would notice an older copy"


class CounterSealedError(ServiceError):
    """the counter is at {value}, the store expects {expected}: it may be an older copy"""

    code = "accord-SVC-092"
    exit_code = ExitCode.DENIED
    hint = "who owns the service looks at it, then: `accord service configure --accept-counter`"

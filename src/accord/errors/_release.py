# SPDX-License-Identifier: Apache-2.0
"""Errors of family REL: attest-then-release."""

from accord.errors._base import AccordError, ExitCode


class ReleaseError(AccordError):
    """{detail}"""

    exit_code = ExitCode.DENIED


class NonceError(ReleaseError):
    """the nonce is not acceptable: {detail}"""

    code = "accord-REL-001"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "each nonce serves once, for one purpose, within its lifetime; ask for a new one"


class NoPolicyError(ReleaseError):
    """policy {policy} was never enacted on this board"""

    code = "accord-REL-002"
    hint = "`accord proposal list` shows whether it is still waiting for votes"


class PolicyPendingError(ReleaseError):
    """policy {policy} is not enacted: proposal {proposal} still needs {missing}"""

    code = "accord-REL-003"
    exit_code = ExitCode.PENDING
    hint = "ask them to review it: `accord proposal show`, then `accord proposal vote`"


class UnknownServiceError(ReleaseError):
    """policy {policy} has no service {service}"""

    code = "accord-REL-004"
    hint = "`accord policy show` lists the services"


class ConsentWithdrawnError(ReleaseError):
    """{owner} has withdrawn {asset}"""

    code = "accord-REL-005"
    hint = "only the owner can offer it again"


class AssetChangedError(ReleaseError):
    """{asset} is not what was voted on: the policy pins {expected}, its owner now offers {found}"""

    code = "accord-REL-006"
    hint = "propose a policy with the new tag, so that everybody reviews the change"


class TermsError(ReleaseError):
    """the terms of {asset} do not allow this: {field} must be {expected}, found {found}"""

    code = "accord-REL-007"
    hint = "the owner sets the terms; `accord asset list --json` prints them"


class UsesExhaustedError(ReleaseError):
    """{asset} was released {uses} times, as often as {owner} allowed"""

    code = "accord-REL-008"
    hint = "the owner may register it again with a higher limit"


class UnknownRunError(ReleaseError):
    """there is no run {run} here, or none that this could be about"""

    code = "accord-REL-009"
    hint = "a run statement is accepted once, signed by the key that the release attested"


class LogKeyError(ReleaseError):
    """entry {index} is not signed by this board's attested trust service"""

    code = "accord-REL-010"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "the log was written by something else than the service the founders named"


class ReleaseInvalidError(ReleaseError):
    """entry {index} records a release that the entries before it do not allow"""

    code = "accord-REL-011"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "the trust service broke its own rules; keep the log as evidence"


class ExecutionStoppedError(ReleaseError):
    """{member} has stopped {scope}: {reason}"""

    code = "accord-REL-012"
    hint = "`accord execution status` shows the stop; resuming needs the board's agreement"


class ChannelTooWeakError(ReleaseError):
    """service {service} must be reached at channel level {expected}, not {found}"""

    code = "accord-REL-013"
    hint = "the shield must prove its TLS connection in its evidence: start it with --channel L2"


class InstanceTokenError(ReleaseError):
    """the instance token is not acceptable: {detail}"""

    code = "accord-REL-014"
    hint = "each start needs a token of its own: `accord execution token`"


class OneTimePasswordMissingError(ReleaseError):
    """service {service} needs a one-time password"""

    code = "accord-REL-015"
    hint = "start the shield with --otp; whoever holds the second factor reads it off their device"


class ExportWithdrawnError(ReleaseError):
    """policy {importer} may not have {secret} of policy {exporter}: {detail}"""

    code = "accord-REL-016"
    hint = "both policies must agree, in the versions in force: `accord why` shows the chain"


class PolicyExpiredError(ReleaseError):
    """policy {policy} was valid until {until}"""

    code = "accord-REL-017"
    hint = "propose a version with a later end"


class LeaseError(ReleaseError):
    """the lease of {run} cannot be renewed: {detail}"""

    code = "accord-REL-018"
    hint = "start the service again; the outputs of the run are lost"


class OwnerChangedError(ReleaseError):
    """{asset} was offered with a key that is no longer its owner's on this board"""

    code = "accord-REL-019"
    hint = "whoever is now the member must offer the asset again"


class NotAttestedError(ReleaseError):
    """the request is refused: it does not prove an environment that this board trusts"""

    code = "accord-REL-020"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "`accord attest verify` tells what is wrong with the evidence, under the board's anchors"


class ReaderLeftError(ReleaseError):
    """{reader}, a reader of {policy}, is no member of the board any more"""

    code = "accord-REL-021"
    hint = "propose a version of the policy with other readers"


class IdentityKeyError(ReleaseError):
    """service {service} needs a key to certify: {detail}"""

    code = "accord-REL-022"
    hint = "the shield makes the key; a newer one does"


class PeerExchangeError(ReleaseError):
    """the trust service at {url} did not hand out {secret}: {detail}"""

    code = "accord-REL-023"
    hint = "both policies must name each other's board and log key: `accord why`"


class NoSuchSecretError(ReleaseError):
    """policy {policy} has no secret {secret}"""

    code = "accord-REL-024"
    exit_code = ExitCode.USAGE
    hint = "`accord secret list` shows the secrets of every policy"


class AssetKindError(ReleaseError):
    """{asset} is a {found}, and is used as a {expected}"""

    code = "accord-REL-025"
    hint = "`accord asset list` shows volumes, `accord secret list` deposited secrets"


class ReaderChangedError(ReleaseError):
    """{reader}, who may read what comes of {asset}, has other keys than when it was offered"""

    code = "accord-REL-026"
    hint = "the owner must offer it again, so that consent is given for the keys of today"


class LeaseEndedError(ReleaseError):
    """the lease of {run} ended before the log had its results"""

    code = "accord-REL-027"
    hint = "start the service again; the outputs of the run are lost"


class FreshnessError(ReleaseError):
    """policy {policy} has freshness {mode}, and the board {board}"""

    code = "accord-REL-080"
    hint = "propose a version without `freshness`, or change the board's witnesses"


class ReservationError(ReleaseError):
    """no release of {service} can be taken from a reservation: {detail}"""

    code = "accord-REL-081"
    hint = "ask again: the trust service reserves anew, or waits for its witnesses"


class ReservationInvalidError(ReleaseError):
    """entry {index} reserves uses that the entries before it do not allow"""

    code = "accord-REL-082"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "the trust service broke its own rules; keep the log as evidence"


class UncleanVolumeError(ReleaseError):
    """live volume {volume} of policy {policy} is open: {run} has not closed it"""

    code = "accord-REL-090"
    hint = "if that run is gone, members accept a tag: `accord volume tags`, `accord volume accept`"


class VolumeKeptError(ReleaseError):
    """live volume {volume} of policy {policy} is kept since {run} and cannot become ephemeral"""

    code = "accord-REL-094"
    hint = "a new version of the policy can give the ephemeral volume another name"


class FragmentWithdrawnError(ReleaseError):
    """policy {policy} does not supply fragment {fragment} to policy {importer} any more"""

    code = "accord-REL-095"
    hint = "a new version of the importing policy can do without it, or take what is in force"


class FragmentMismatchError(ReleaseError):
    """policy {importer} does not hold fragment {fragment} of policy {policy} as {version} has it"""

    code = "accord-REL-096"
    hint = "the document was changed by hand: `accord policy resolve` makes a true one"


class TagMismatchError(ReleaseError):
    """the tag of live volume {volume} is {expected}; the commit replaces {found}"""

    code = "accord-REL-091"
    hint = "its storage shows an older version, or a commit came twice or out of order"


class TagWriterError(ReleaseError):
    """{run} may not commit a tag of live volume {volume}: {detail}"""

    code = "accord-REL-092"
    hint = "only the run that opened the volume last commits; nothing was changed"


class TagAcceptError(ReleaseError):
    """no tag can be accepted for live volume {volume} of policy {policy} after {run}: {detail}"""

    code = "accord-REL-093"
    exit_code = ExitCode.USAGE
    hint = "`accord volume tags` shows which run has left which volume open"

# SPDX-License-Identifier: Apache-2.0
"""The error catalogue: every refusal has a stable code, an exit code, a sentence and a hint.

::

    AccordError
    ├── EncodingError      ENC  bytes that are not what their format says
    ├── IdentityError      ID   keys, signatures, sealed messages
    ├── PolicyError        POL  the policy language
    ├── BoardError         BRD  genesis, constitution, proposals, ballots, assets
    ├── LedgerError        LED  entries, checkpoints, proofs
    ├── EvidenceError      ATT  attestation evidence and its appraisal
    ├── ReleaseError       REL  attest-then-release
    ├── VolumeError        VOL  encrypted storage
    ├── ChannelError       CHN  reaching and trusting a peer
    ├── ShieldError        SHD  confining and running a program
    ├── ServiceError       SVC  the trust service as a process
    ├── BundleError        BUN  offline checking of a run
    └── UsageError         CLI  the command line

The docstring of a class is its message: the words in braces are the details that the raiser
must give. Messages are lower case, without a full stop, and never carry a secret.
"""

from __future__ import annotations

import string
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """Exit codes of every command, one per class of outcome."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_VERIFIED = 3
    DENIED = 4
    UNREACHABLE = 5
    PENDING = 6
    INTEGRITY = 7
    INTERRUPTED = 130


class AccordError(Exception):
    """{detail}"""

    code: ClassVar[str] = ""
    """Stable identifier, ``accord-FAMILY-NNN``; empty on the classes that only group."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILURE
    hint: ClassVar[str] = ""

    def __init__(self, **details: object) -> None:
        self.details = details
        shown = {name: _one_line(value) for name, value in details.items()}
        super().__init__((type(self).__doc__ or "").format(**shown))

    @classmethod
    def fields(cls) -> tuple[str, ...]:
        """The names of the details that the message needs, in order."""
        return tuple(name for _, name, _, _ in string.Formatter().parse(cls.__doc__ or "") if name)


def _one_line(value: object) -> str:
    """``value`` as text that cannot draw a line, or move a cursor, where it is shown."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def catalogue() -> dict[str, type[AccordError]]:
    """Every error with a code, by code. Raises ``RuntimeError`` where two share one."""
    found: dict[str, type[AccordError]] = {}
    pending = [AccordError]
    while pending:
        cls = pending.pop()
        pending.extend(cls.__subclasses__())
        if cls.code and found.setdefault(cls.code, cls) is not cls:
            message = f"{cls.code} names both {cls.__name__} and {found[cls.code].__name__}"
            raise RuntimeError(message)
    return dict(sorted(found.items()))


# --- ENC ------------------------------------------------------------------------------------


class EncodingError(AccordError):
    """{what}: {detail}"""

    exit_code = ExitCode.NOT_VERIFIED


class MalformedError(EncodingError):
    """{what} is malformed: {detail}"""

    code = "accord-ENC-001"
    hint = "the file was damaged, or was made by something else; fetch it again from its author"


class NotCanonicalError(EncodingError):
    """{what} is not in canonical form"""

    code = "accord-ENC-002"
    hint = "signed JSON has exactly one valid spelling (RFC 8785); do not reformat it"


class TooLargeError(EncodingError):
    """{what} is larger than {limit} bytes"""

    code = "accord-ENC-003"
    hint = "sizes are limited before anything is parsed; nothing of it was read"


class UnsupportedFormatError(EncodingError):
    """{what} has format {found}, expected {expected}"""

    code = "accord-ENC-004"
    hint = "it was made by another version of accord, or is a different kind of document"


# --- ID -------------------------------------------------------------------------------------


class IdentityError(AccordError):
    """{detail}"""


class IdentityNotFoundError(IdentityError):
    """no identity at {path}"""

    code = "accord-ID-001"
    exit_code = ExitCode.USAGE
    hint = "make one with `accord member new NAME --home DIR`"


class IdentityExposedError(IdentityError):
    """private key {path} can be read by others (mode {mode})"""

    code = "accord-ID-002"
    exit_code = ExitCode.DENIED
    hint = "restrict it with `chmod 600`, and replace the key if somebody may have read it"


class SignatureInvalidError(IdentityError):
    """{what} has no valid signature by {expected}"""

    code = "accord-ID-003"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "it was changed after signing, or signed by somebody else"


class SealedMessageError(IdentityError):
    """{what} cannot be opened with this key"""

    code = "accord-ID-004"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "it was sealed to another key or for another purpose, or was changed"


class IdentityConflictError(IdentityError):
    """{path} already holds the identity of {found}, not of {expected}"""

    code = "accord-ID-005"
    exit_code = ExitCode.USAGE
    hint = "choose another --home; an existing key is never overwritten"


# --- POL -----------------------------------------------------------------------------------


class PolicyError(AccordError):
    """{detail}"""


class PolicySyntaxError(PolicyError):
    """policy is not valid YAML: {detail}"""

    code = "accord-POL-001"
    exit_code = ExitCode.USAGE
    hint = "policies are strict YAML: no duplicate keys, no anchors, no tags"


class PolicyContentError(PolicyError):
    """policy says something impossible at {where}: {detail}"""

    code = "accord-POL-002"
    exit_code = ExitCode.USAGE
    hint = "docs/reference/policy.md lists every field"


# --- BRD -----------------------------------------------------------------------------------


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
    hint = "somebody was faster; look at the new state, then sign again"


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
    exit_code = ExitCode.OK
    hint = "nothing to do"


class NoBoardError(BoardError):
    """no board is known at {home}"""

    code = "accord-BRD-011"
    exit_code = ExitCode.USAGE
    hint = "sign a genesis with `accord board sign`; one home belongs to one board"


# --- LED -----------------------------------------------------------------------------------


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


# --- ATT -----------------------------------------------------------------------------------


class EvidenceError(AccordError):
    """{detail}"""

    exit_code = ExitCode.NOT_VERIFIED


class EvidenceMalformedError(EvidenceError):
    """{what} is malformed: {detail}"""

    code = "accord-ATT-001"
    hint = "the evidence was damaged or cut, or comes from a platform that is not supported"


class AnchorUnknownError(EvidenceError):
    """{what} ends in root {actual}, but the pinned trust anchors are {expected}"""

    code = "accord-ATT-002"
    hint = "names in certificates prove nothing; pin a root by its SHA-256 only if you trust it"


class ChainInvalidError(EvidenceError):
    """{what} is not a valid certificate chain: {detail}"""

    code = "accord-ATT-003"
    hint = "a certificate was changed, reordered, or issued by somebody else"


class CertificateRevokedError(EvidenceError):
    """{what} with serial number {serial} was revoked by {issuer}"""

    code = "accord-ATT-004"
    hint = "the vendor no longer vouches for this platform; do not use it"


class EvidenceExpiredError(EvidenceError):
    """{what} is valid from {not_before} to {not_after}, not at {now}"""

    code = "accord-ATT-005"
    hint = "fetch fresh collateral from the vendor, and check this machine's clock"


class EvidenceSignatureError(EvidenceError):
    """{what} is not signed by {expected}"""

    code = "accord-ATT-006"
    hint = "it was changed after signing, or signed by somebody else"


class BindingMismatchError(EvidenceError):
    """evidence carries report data {actual}, expected {expected} for this {purpose} of a {role}"""

    code = "accord-ATT-007"
    hint = "made for another nonce, key, connection, purpose or role: replayed or relayed evidence"


class DebugRefusedError(EvidenceError):
    """the {family} environment runs in debug mode (attributes {actual})"""

    code = "accord-ATT-008"
    hint = "the host can read the memory of a debug environment; start it without debug"


class CollateralMismatchError(EvidenceError):
    """{field} is {actual}, but the collateral says {expected}"""

    code = "accord-ATT-009"
    hint = "the collateral belongs to another platform or quoting enclave; fetch the matching one"


class EnvironmentRefusedError(EvidenceError):
    """{field} is {actual}, expected {expected}"""

    code = "accord-ATT-010"
    hint = "the environment was started with settings that weaken it"


class TCBRefusedError(EvidenceError):
    """the trusted computing base of the {part} has status {status}"""

    code = "accord-ATT-011"
    hint = "update the platform's firmware, microcode and TDX module, then attest again"


class AppraisalError(EvidenceError):
    """no attestation variant admits this environment: {summary}"""

    code = "accord-ATT-012"
    hint = "run the code that the policy names, or propose a policy that admits this one"


class SimulatorStateError(EvidenceError):
    """no usable simulated {what} at {path}: {detail}"""

    code = "accord-ATT-013"
    exit_code = ExitCode.USAGE
    hint = "create it first; a damaged one is replaced by deleting its folder"


# --- REL -----------------------------------------------------------------------------------


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


# --- VOL -----------------------------------------------------------------------------------


class VolumeError(AccordError):
    """{detail}"""

    exit_code = ExitCode.INTEGRITY


class ObjectMissingError(VolumeError):
    """the store has no {what}"""

    code = "accord-VOL-001"
    hint = "the store lost it or withholds it; copy the volume again from its author"


class VolumeTamperedError(VolumeError):
    """{what} was changed in the store: {detail}"""

    code = "accord-VOL-002"
    hint = "nothing of it was used; copy the volume again from its author"


class RollbackError(VolumeError):
    """the store shows version {found} of {volume} instead of the trusted version {expected}"""

    code = "accord-VOL-003"
    hint = "the store was set back, or its copy is not finished; the tag is right, the store is not"


class VolumeForkError(VolumeError):
    """the store shows another version {found} of {volume} than the trusted {expected}"""

    code = "accord-VOL-004"
    hint = "two writers sealed the same next version; seal again on top of the trusted one"


class WrongVolumeKeyError(VolumeError):
    """the key given does not open {volume}"""

    code = "accord-VOL-005"
    exit_code = ExitCode.DENIED
    hint = "the version was sealed under another key; nothing was decrypted"


class WrongVolumeError(VolumeError):
    """the store or the tag is of {found}, not of {expected}"""

    code = "accord-VOL-006"
    hint = "check which store and which volume id belong together"


class VolumeSourceError(VolumeError):
    """{path} cannot be sealed: {detail}"""

    code = "accord-VOL-007"
    exit_code = ExitCode.USAGE
    hint = "volumes hold regular files and directories that do not change while being sealed"


class VolumeExtractError(VolumeError):
    """{path} cannot be written: {detail}"""

    code = "accord-VOL-008"
    exit_code = ExitCode.FAILURE
    hint = "name a directory that does not exist yet, on a disk with enough room"


class VolumeFileNotFoundError(VolumeError):
    """{volume} has no file {path}"""

    code = "accord-VOL-009"
    exit_code = ExitCode.USAGE
    hint = "list the files of the volume; names are exact, with slashes between directories"


class StoreError(VolumeError):
    """the store at {path} failed: {detail}"""

    code = "accord-VOL-010"
    exit_code = ExitCode.FAILURE
    hint = "check its permissions and free space; what was published before is unharmed"


# --- CHN -----------------------------------------------------------------------------------


class ChannelError(AccordError):
    """{detail}"""

    exit_code = ExitCode.UNREACHABLE


class UnreachableError(ChannelError):
    """nothing usable answers at {url}: {detail}"""

    code = "accord-CHN-001"
    hint = "is the trust service running there? `accord service run` starts one"


class PinMismatchError(ChannelError):
    """the TLS key at {url} is not the one in the trust service's evidence"""

    code = "accord-CHN-002"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "somebody may be in between; nothing was sent"


class RequestRefusedError(ChannelError):
    """the request is not signed by a member for this connection: {detail}"""

    code = "accord-CHN-003"
    exit_code = ExitCode.DENIED
    hint = "reading a board needs a member's key: pass --home; check this machine's clock"


class ReplyError(ChannelError):
    """the trust service answered with {detail}"""

    code = "accord-CHN-004"
    exit_code = ExitCode.FAILURE
    hint = "client and service may be of different versions"


# --- SHD -----------------------------------------------------------------------------------


class ShieldError(AccordError):
    """{detail}"""


class SandboxMissingError(ShieldError):
    """the shield confines programs with {program}, which is not installed"""

    code = "accord-SHD-001"
    hint = "install it with `apt install bubblewrap`; nothing is run without a sandbox"


class NamespaceRefusedError(ShieldError):
    """this machine does not let the shield {action}: {detail}"""

    code = "accord-SHD-002"
    exit_code = ExitCode.DENIED
    hint = (
        "run as root, or allow user namespaces: `sysctl -w user.max_user_namespaces=15000`, on "
        "Debian also kernel.unprivileged_userns_clone=1, on Ubuntu also "
        "kernel.apparmor_restrict_unprivileged_userns=0; a container needs them from its host"
    )


class ConfinementError(ShieldError):
    """the program cannot be confined: {detail}"""

    code = "accord-SHD-003"
    hint = "the program was not started; compare its paths and limits with the policy"


class OutputRefusedError(ShieldError):
    """output {name} is refused: {detail}"""

    code = "accord-SHD-004"
    exit_code = ExitCode.DENIED
    hint = "a program may hand out regular files of its own making only; nothing was exported"


class GrantError(ShieldError):
    """the trust service's grant is not acceptable: {detail}"""

    code = "accord-SHD-020"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "nothing was opened; the service may be of another version, or not the one attested"


class ProgramFailedError(ShieldError):
    """the program of run {run} ended with exit code {exit_code}"""

    code = "accord-SHD-021"
    exit_code = ExitCode.FAILURE
    hint = "no output was kept; what it printed stays inside, because it may show the data"


# --- SVC -----------------------------------------------------------------------------------


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


# --- BUN -----------------------------------------------------------------------------------


class BundleError(AccordError):
    """{detail}"""

    exit_code = ExitCode.NOT_VERIFIED


class BundleFileError(BundleError):
    """bundle file {name}: {detail}"""

    code = "accord-BUN-001"
    hint = "the bundle was damaged or tampered with; ask for it again"


class BundleContentError(BundleError):
    """the bundle does not prove its run: {detail}"""

    code = "accord-BUN-002"
    hint = "its files are intact but do not fit together; do not rely on its outputs"


class BundleGenesisError(BundleError):
    """the bundle is of board {found}, not of {expected}"""

    code = "accord-BUN-003"
    hint = "compare the genesis digest with the one you hold"


class BundleExistsError(BundleError):
    """{path} exists and is not a bundle"""

    code = "accord-BUN-004"
    exit_code = ExitCode.USAGE
    hint = "choose a new folder with --out; nothing was overwritten"


class OutputUnavailableError(BundleError):
    """output {output} of run {run} cannot be read: {detail}"""

    code = "accord-BUN-005"
    exit_code = ExitCode.DENIED
    hint = "`accord job show RUN` lists the outputs and who may read them"


# --- CLI -----------------------------------------------------------------------------------


class UsageError(AccordError):
    """{detail}"""

    exit_code = ExitCode.USAGE


class FileAccessError(UsageError):
    """cannot {action} {path}: {detail}"""

    code = "accord-CLI-001"
    hint = "check the path and its permissions"


class NotConfirmedError(UsageError):
    """the digest given is not that of the policy proposed"""

    code = "accord-CLI-002"
    exit_code = ExitCode.DENIED
    hint = "nothing was signed; `accord proposal show` prints the digest"


class ExtraMissingError(UsageError):
    """{what} needs {package}, which is not installed"""

    code = "accord-CLI-003"
    hint = "install it with `pip install 'accord[demo]'`"


class StepFailedError(UsageError):
    """step `{command}` ended with exit code {exit_code}, expected {expected}"""

    code = "accord-CLI-004"
    exit_code = ExitCode.FAILURE
    hint = "run the command by hand to see why; running the demo again goes on from there"


class CommandLineError(UsageError):
    """{detail}"""

    code = "accord-CLI-005"
    hint = "`--help` after any command shows its arguments and an example"

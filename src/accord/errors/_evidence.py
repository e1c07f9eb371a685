# SPDX-License-Identifier: Apache-2.0
"""Errors of family ATT: attestation evidence and its appraisal."""

from accord.errors._base import AccordError, ExitCode


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
    hint = (
        "fetch fresh collateral (of Nitro: a fresh document, it lasts for hours), or name the "
        "moment with --now; check this machine's clock"
    )


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


class PartMismatchError(EvidenceError):
    """{part} carries nonce {actual}, expected {expected}"""

    code = "accord-ATT-014"
    hint = "it was not asked for together with the whole: replayed, or of another machine"


class LogMismatchError(EvidenceError):
    """replaying {what} gives {actual} for {register}, but the hardware signed {expected}"""

    code = "accord-ATT-015"
    hint = "the log was changed or cut; what it says is not what the machine measured"


class EngineMissingError(EvidenceError):
    """the engine {engine} is not installed"""

    code = "accord-ATT-020"
    exit_code = ExitCode.USAGE
    hint = "install it with `pip install 'accord[dcap]'`, or verify without an engine"


class EngineRefusedError(EvidenceError):
    """{engine} refuses evidence that accord's own verifier accepts: {detail}"""

    code = "accord-ATT-021"
    hint = "docs/spec/evidence/intel-differences.md lists what it always refuses"


class TPMCommandError(EvidenceError):
    """the TPM did not carry out {command}: {detail}"""

    code = "accord-ATT-030"
    exit_code = ExitCode.FAILURE
    hint = "the response code is explained in part 2 of the TPM 2.0 Library, section 6.6"


class CredentialRefusedError(EvidenceError):
    """attestation key {ak} did not prove to live in the TPM of endorsement key {ek}"""

    code = "accord-ATT-031"
    hint = "the answer to the credential is not its secret: enrol again, on that machine"


class SimulatedTPMMissingError(EvidenceError):
    """a simulated {what} needs the program {program}, which is not installed"""

    code = "accord-ATT-032"
    exit_code = ExitCode.USAGE
    hint = "ask an administrator to run: apt-get install swtpm"


class KeyNotBoundError(EvidenceError):
    """{key} is not bound to {token}: its hash is {actual}, the token vouches for {expected}"""

    code = "accord-ATT-035"
    hint = "the two tokens were not made together: one of them was taken from another machine"


class ResultHeaderError(EvidenceError):
    """the header of the attestation result has {field} {actual}, expected {expected}"""

    code = "accord-ATT-045"
    hint = "its header cannot choose how it is verified; it was signed otherwise than ours are"


class ResultClaimError(EvidenceError):
    """{field} of the attestation result is {actual}, expected {expected}"""

    code = "accord-ATT-046"
    hint = "it is genuine, but of another time, verifier or request: ask for a fresh one"


class ReferenceMismatchError(EvidenceError):
    """measurement block {block} ({name}) is {actual}, but {what} says {expected}"""

    code = "accord-ATT-040"
    hint = "the device runs firmware or a driver that its maker did not release, or a changed one"

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

from accord.errors._base import (
    AccordError,
    ExitCode,
    catalogue,
)
from accord.errors._board import (
    ApprovalsMissingError,
    BoardError,
    ConstitutionError,
    DuplicateStatementError,
    GenesisError,
    NoBoardError,
    NotAMemberError,
    ProposalClosedError,
    StaleStatementError,
    UnknownAssetError,
    UnknownProposalError,
    WrongBoardError,
)
from accord.errors._bundle import (
    BundleContentError,
    BundleError,
    BundleExistsError,
    BundleFileError,
    BundleGenesisError,
    OutputUnavailableError,
)
from accord.errors._channel import (
    ChannelError,
    PinMismatchError,
    ReplyError,
    RequestRefusedError,
    UnreachableError,
)
from accord.errors._encoding import (
    EncodingError,
    MalformedError,
    NotCanonicalError,
    TooLargeError,
    UnsupportedFormatError,
)
from accord.errors._evidence import (
    AnchorUnknownError,
    AppraisalError,
    BindingMismatchError,
    CertificateRevokedError,
    ChainInvalidError,
    CollateralMismatchError,
    DebugRefusedError,
    EnvironmentRefusedError,
    EvidenceError,
    EvidenceExpiredError,
    EvidenceMalformedError,
    EvidenceSignatureError,
    LogMismatchError,
    PartMismatchError,
    SimulatorStateError,
    TCBRefusedError,
)
from accord.errors._identity import (
    IdentityConflictError,
    IdentityError,
    IdentityExposedError,
    IdentityNotFoundError,
    SealedMessageError,
    SignatureInvalidError,
)
from accord.errors._ledger import (
    CheckpointOriginError,
    ConsistencyError,
    EntryOrderError,
    EntryTimeError,
    InclusionError,
    LedgerError,
    LogSizeError,
)
from accord.errors._policy import (
    PolicyContentError,
    PolicyError,
    PolicySyntaxError,
)
from accord.errors._release import (
    AssetChangedError,
    ConsentWithdrawnError,
    LogKeyError,
    NonceError,
    NoPolicyError,
    PolicyPendingError,
    ReleaseError,
    ReleaseInvalidError,
    TermsError,
    UnknownRunError,
    UnknownServiceError,
    UsesExhaustedError,
)
from accord.errors._service import (
    AssetKeyError,
    InternalError,
    NoSuchRouteError,
    ServiceError,
    ServiceHaltedError,
    StoreBusyError,
    StoreConflictError,
    StoreIntegrityError,
    StoreKeyError,
    StoreUnavailableError,
    UnknownBoardError,
)
from accord.errors._shield import (
    ConfinementError,
    GrantError,
    NamespaceRefusedError,
    OutputRefusedError,
    ProgramFailedError,
    RunStoppedError,
    SandboxMissingError,
    ShieldError,
)
from accord.errors._usage import (
    CommandLineError,
    ExtraMissingError,
    FileAccessError,
    InternalFailureError,
    NotConfirmedError,
    StepFailedError,
    UsageError,
)
from accord.errors._volumes import (
    ObjectMissingError,
    RollbackError,
    StoreError,
    VolumeError,
    VolumeExtractError,
    VolumeFileNotFoundError,
    VolumeForkError,
    VolumeSourceError,
    VolumeTamperedError,
    WrongVolumeError,
    WrongVolumeKeyError,
)

__all__ = [
    "AccordError",
    "AnchorUnknownError",
    "AppraisalError",
    "ApprovalsMissingError",
    "AssetChangedError",
    "AssetKeyError",
    "BindingMismatchError",
    "BoardError",
    "BundleContentError",
    "BundleError",
    "BundleExistsError",
    "BundleFileError",
    "BundleGenesisError",
    "CertificateRevokedError",
    "ChainInvalidError",
    "ChannelError",
    "CheckpointOriginError",
    "CollateralMismatchError",
    "CommandLineError",
    "ConfinementError",
    "ConsentWithdrawnError",
    "ConsistencyError",
    "ConstitutionError",
    "DebugRefusedError",
    "DuplicateStatementError",
    "EncodingError",
    "EntryOrderError",
    "EntryTimeError",
    "EnvironmentRefusedError",
    "EvidenceError",
    "EvidenceExpiredError",
    "EvidenceMalformedError",
    "EvidenceSignatureError",
    "ExitCode",
    "ExtraMissingError",
    "FileAccessError",
    "GenesisError",
    "GrantError",
    "IdentityConflictError",
    "IdentityError",
    "IdentityExposedError",
    "IdentityNotFoundError",
    "InclusionError",
    "InternalError",
    "InternalFailureError",
    "LedgerError",
    "LogKeyError",
    "LogMismatchError",
    "LogSizeError",
    "MalformedError",
    "NamespaceRefusedError",
    "NoBoardError",
    "NoPolicyError",
    "NoSuchRouteError",
    "NonceError",
    "NotAMemberError",
    "NotCanonicalError",
    "NotConfirmedError",
    "ObjectMissingError",
    "OutputRefusedError",
    "OutputUnavailableError",
    "PartMismatchError",
    "PinMismatchError",
    "PolicyContentError",
    "PolicyError",
    "PolicyPendingError",
    "PolicySyntaxError",
    "ProgramFailedError",
    "ProposalClosedError",
    "ReleaseError",
    "ReleaseInvalidError",
    "ReplyError",
    "RequestRefusedError",
    "RollbackError",
    "RunStoppedError",
    "SandboxMissingError",
    "SealedMessageError",
    "ServiceError",
    "ServiceHaltedError",
    "ShieldError",
    "SignatureInvalidError",
    "SimulatorStateError",
    "StaleStatementError",
    "StepFailedError",
    "StoreBusyError",
    "StoreConflictError",
    "StoreError",
    "StoreIntegrityError",
    "StoreKeyError",
    "StoreUnavailableError",
    "TCBRefusedError",
    "TermsError",
    "TooLargeError",
    "UnknownAssetError",
    "UnknownBoardError",
    "UnknownProposalError",
    "UnknownRunError",
    "UnknownServiceError",
    "UnreachableError",
    "UnsupportedFormatError",
    "UsageError",
    "UsesExhaustedError",
    "VolumeError",
    "VolumeExtractError",
    "VolumeFileNotFoundError",
    "VolumeForkError",
    "VolumeSourceError",
    "VolumeTamperedError",
    "WrongBoardError",
    "WrongVolumeError",
    "WrongVolumeKeyError",
    "catalogue",
]

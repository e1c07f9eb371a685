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
        super().__init__((type(self).__doc__ or "").format(**details))

    @classmethod
    def fields(cls) -> tuple[str, ...]:
        """The names of the details that the message needs, in order."""
        return tuple(name for _, name, _, _ in string.Formatter().parse(cls.__doc__ or "") if name)


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


# --- BRD -----------------------------------------------------------------------------------


class BoardError(AccordError):
    """{detail}"""


# --- LED -----------------------------------------------------------------------------------


class LedgerError(AccordError):
    """{detail}"""

    exit_code = ExitCode.INTEGRITY


# --- ATT -----------------------------------------------------------------------------------


class EvidenceError(AccordError):
    """{detail}"""

    exit_code = ExitCode.NOT_VERIFIED


# --- REL -----------------------------------------------------------------------------------


class ReleaseError(AccordError):
    """{detail}"""

    exit_code = ExitCode.DENIED


# --- VOL -----------------------------------------------------------------------------------


class VolumeError(AccordError):
    """{detail}"""

    exit_code = ExitCode.INTEGRITY


# --- CHN -----------------------------------------------------------------------------------


class ChannelError(AccordError):
    """{detail}"""

    exit_code = ExitCode.UNREACHABLE


# --- SHD -----------------------------------------------------------------------------------


class ShieldError(AccordError):
    """{detail}"""


# --- SVC -----------------------------------------------------------------------------------


class ServiceError(AccordError):
    """{detail}"""


# --- BUN -----------------------------------------------------------------------------------


class BundleError(AccordError):
    """{detail}"""

    exit_code = ExitCode.NOT_VERIFIED


# --- CLI -----------------------------------------------------------------------------------


class UsageError(AccordError):
    """{detail}"""

    exit_code = ExitCode.USAGE

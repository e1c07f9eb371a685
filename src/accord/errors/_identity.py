# SPDX-License-Identifier: Apache-2.0
"""Errors of family ID: keys, signatures, sealed messages."""

from accord.errors._base import AccordError, ExitCode


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

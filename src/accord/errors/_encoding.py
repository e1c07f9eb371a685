# SPDX-License-Identifier: Apache-2.0
"""Errors of family ENC: bytes that are not what their format says."""

from accord.errors._base import AccordError, ExitCode


class EncodingError(AccordError):
    """{what}: {detail}"""

    exit_code = ExitCode.NOT_VERIFIED


class MalformedError(EncodingError):
    """{what} is malformed: {detail}"""

    code = "accord-ENC-001"
    hint = (
        "for a document you wrote, see its page in docs/reference; "
        "a file that somebody sent may have been damaged"
    )


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

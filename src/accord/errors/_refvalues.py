# SPDX-License-Identifier: Apache-2.0
"""Errors of family REF: reference values."""

from accord.errors._base import AccordError, ExitCode


class ReferenceValueError(AccordError):
    """{detail}"""

    exit_code = ExitCode.NOT_VERIFIED


class ImageRefusedError(ReferenceValueError):
    """{what} cannot be measured: {detail}"""

    code = "accord-REF-001"
    exit_code = ExitCode.FAILURE
    hint = "give the exact file that the environment is started with, whole and unchanged"


class EnclaveSignatureError(ReferenceValueError):
    """the SIGSTRUCT is not signed by the key that it holds"""

    code = "accord-REF-002"
    hint = "it was changed after signing; no processor would start the enclave"


class ManifestUnsignedError(ReferenceValueError):
    """nobody signed manifest {manifest}"""

    code = "accord-REF-003"
    hint = "where it came to you by a way that you trust, say so with --unsigned"


class ManifestSignerError(ReferenceValueError):
    """the manifest is signed by {actual}, expected {expected}"""

    code = "accord-REF-004"
    hint = "pin the key of whoever vouches for these values, if you trust them"


class ManifestSignatureError(ReferenceValueError):
    """the signature of the manifest is not that of {expected} over it"""

    code = "accord-REF-005"
    hint = "it was changed after signing, or signed by somebody else"


class ManifestExpiredError(ReferenceValueError):
    """the manifest is valid from {not_before} to {not_after}, not at {now}"""

    code = "accord-REF-006"
    hint = "ask its author for a current one, and check this machine's clock"


class ManifestProfileError(ReferenceValueError):
    """the manifest cannot be turned into a policy: {detail}"""

    code = "accord-REF-007"
    exit_code = ExitCode.FAILURE
    hint = "docs/how-to/measure-reference-values.md says which manifests are understood"


class MeasuringExtraMissingError(ReferenceValueError):
    """measuring {what} needs {package}, which is not installed"""

    code = "accord-REF-008"
    exit_code = ExitCode.USAGE
    hint = "install it with `pip install 'accord[refvalues]'`"

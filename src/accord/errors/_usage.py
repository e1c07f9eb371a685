# SPDX-License-Identifier: Apache-2.0
"""Errors of family CLI: the command line."""

from accord.errors._base import AccordError, ExitCode


class UsageError(AccordError):
    """{detail}"""

    exit_code = ExitCode.USAGE


class FileAccessError(UsageError):
    """cannot {action} {path}: {detail}"""

    code = "accord-CLI-001"
    hint = "check the path and its permissions"


class NotConfirmedError(UsageError):
    """the digest given is not that of {what}"""

    code = "accord-CLI-002"
    exit_code = ExitCode.DENIED
    hint = "nothing was signed; `accord proposal show` and `accord board check` print the digest"


class ExtraMissingError(UsageError):
    """{what} needs {package}, which is not installed"""

    code = "accord-CLI-003"
    hint = "install it with `pip install 'accord[demo]'`"


class StepFailedError(UsageError):
    """step `{command}` ended with exit code {exit_code}, expected {expected}"""

    code = "accord-CLI-004"
    exit_code = ExitCode.FAILURE
    hint = "mend what it names; running the demo again goes on from there"


class CommandLineError(UsageError):
    """{detail}"""

    code = "accord-CLI-005"
    hint = "`--help` after any command shows its arguments and an example"


class InternalFailureError(UsageError):
    """internal failure ({kind}); this is a bug"""

    code = "accord-CLI-006"
    exit_code = ExitCode.FAILURE
    hint = "set ACCORD_DEBUG=1 to see where, and report it"

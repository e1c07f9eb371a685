# SPDX-License-Identifier: Apache-2.0
"""Errors of family SEC: secrets, templates and certificates."""

from accord.errors._base import AccordError, ExitCode


class SecretError(AccordError):
    """{detail}"""

    exit_code = ExitCode.USAGE


class TemplateError(SecretError):
    """{where} has something like a template at character {position} that is none"""

    code = "accord-SEC-001"
    hint = "write {{ accord.NAME }} or {{ accord.NAME:FORMAT }}, all in lower case"


class UnknownSecretError(SecretError):
    """{where} names the secret {name}, which is not there"""

    code = "accord-SEC-002"
    hint = "templates name secrets of their own policy; check the spelling under `secrets:`"


class SecretFormatError(SecretError):
    """{where} asks for the secret {name} as {format}: {detail}"""

    code = "accord-SEC-003"
    hint = "docs/reference/secrets.md has the formats of each kind"


class SecretValueError(SecretError):
    """the value of secret {name} cannot be used: {detail}"""

    code = "accord-SEC-004"
    exit_code = ExitCode.INTEGRITY
    hint = "it is not what the policy says; nothing was made of it"


class AuthorityExpiredError(SecretError):
    """the certificate authority of {policy} is valid from {start} to {end}, not at {now}"""

    code = "accord-SEC-005"
    exit_code = ExitCode.DENIED
    hint = "enact a new version of the policy: its authority is then made anew"


class OneTimePasswordError(SecretError):
    """the one-time password is not the one of this moment"""

    code = "accord-SEC-006"
    exit_code = ExitCode.DENIED
    hint = "check the clock of the device that shows it, and that it holds the right secret"


class OneTimePasswordLockedError(SecretError):
    """too many wrong one-time passwords: none is looked at for up to 30 seconds"""

    code = "accord-SEC-008"
    exit_code = ExitCode.DENIED
    hint = "wait for the next password; if the wrong ones were not yours, find out whose they were"


class OneTimePasswordUsedError(SecretError):
    """the one-time password was used before"""

    code = "accord-SEC-007"
    exit_code = ExitCode.DENIED
    hint = "each is good for one start; wait up to 30 seconds for the next"

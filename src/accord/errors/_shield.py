# SPDX-License-Identifier: Apache-2.0
"""Errors of family SHD: confining and running a program."""

from accord.errors._base import AccordError, ExitCode


class ShieldError(AccordError):
    """{detail}"""


class SandboxMissingError(ShieldError):
    """the shield confines programs with {program}, which is not installed"""

    code = "accord-SHD-001"
    hint = (
        "install it with `apt install bubblewrap`; it is taken from /usr/bin, /bin or "
        "/usr/local/bin only, and nothing is run without a sandbox"
    )


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
    """the program's output is refused: {detail}"""

    code = "accord-SHD-004"
    exit_code = ExitCode.DENIED
    hint = "a program may hand out regular files of its own making only; nothing was exported"


class LeaseLostError(ShieldError):
    """the lease of run {run} was lost: {reason}"""

    code = "accord-SHD-010"
    exit_code = ExitCode.DENIED
    hint = "the program was killed and no output was kept; `accord why` tells who must agree again"


class GrantError(ShieldError):
    """the trust service's grant is not acceptable: {detail}"""

    code = "accord-SHD-020"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "nothing was opened; the service may be of another version, or not the one attested"


class ProgramFailedError(ShieldError):
    """the program of run {run} failed"""

    code = "accord-SHD-021"
    exit_code = ExitCode.FAILURE
    hint = (
        "no output was kept; how it ended and what it printed stay inside: they may show the data"
    )


class RunStoppedError(ShieldError):
    """the shield stopped run {run}: {reason}"""

    code = "accord-SHD-022"
    hint = "no output was kept; the details stay inside, because they may show the data"


class LiveVolumesError(ShieldError):
    """service {service} keeps live volumes, which this shield cannot mount"""

    code = "accord-SHD-023"
    exit_code = ExitCode.DENIED
    hint = "start it in a shield that can; a strict volume is then open until a tag is accepted"

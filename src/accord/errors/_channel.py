# SPDX-License-Identifier: Apache-2.0
"""Errors of family CHN: reaching and trusting a peer."""

from accord.errors._base import AccordError, ExitCode


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
    hint = (
        "reading a board needs a member's key: pass --home; check this machine's clock; "
        "or the board was never founded here: `accord board found`"
    )


class ReplyError(ChannelError):
    """the trust service answered with {detail}"""

    code = "accord-CHN-004"
    exit_code = ExitCode.FAILURE
    hint = "versions may differ, or it does not have this board: check --board"


class ChannelLevelError(ChannelError):
    """channel level {level} cannot be proved: {detail}"""

    code = "accord-CHN-010"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "TLS must end in the trust service itself, not in a proxy before it; or ask for level 1"


class ServiceChangedError(ChannelError):
    """another trust service than the one that was attested answers at {url} now"""

    code = "accord-CHN-011"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "it was started again, or somebody is in between; begin again to attest what answers now"

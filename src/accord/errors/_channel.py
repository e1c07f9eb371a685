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
    hint = "reading a board needs a member's key: pass --home; check this machine's clock"


class ReplyError(ChannelError):
    """the trust service answered with {detail}"""

    code = "accord-CHN-004"
    exit_code = ExitCode.FAILURE
    hint = "client and service may be of different versions"

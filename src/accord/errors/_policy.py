# SPDX-License-Identifier: Apache-2.0
"""Errors of family POL: the policy language."""

from accord.errors._base import AccordError, ExitCode


class PolicyError(AccordError):
    """{detail}"""


class PolicySyntaxError(PolicyError):
    """policy is not valid YAML: {detail}"""

    code = "accord-POL-001"
    exit_code = ExitCode.USAGE
    hint = "policies are strict YAML: no duplicate keys, no anchors, no tags"


class PolicyContentError(PolicyError):
    """policy says something impossible at {where}: {detail}"""

    code = "accord-POL-002"
    exit_code = ExitCode.USAGE
    hint = "docs/reference/policy.md lists every field"

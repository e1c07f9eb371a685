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


class SconeSessionError(PolicyError):
    """this is no SCONE session that can be read: {detail}"""

    code = "accord-POL-010"
    exit_code = ExitCode.USAGE
    hint = "give the session as it is uploaded: YAML of the session language 0.3"


class UnresolvedFragmentError(PolicyError):
    """{where} takes fragment {fragment} of policy {policy}, and does not say of which version"""

    code = "accord-POL-020"
    exit_code = ExitCode.USAGE
    hint = "`accord policy resolve` fills in fragments; what it prints is proposed and voted on"


class FragmentConflictError(PolicyError):
    """a fragment says something else at {where}, which is said already"""

    code = "accord-POL-021"
    exit_code = ExitCode.USAGE
    hint = "fragments add to a service and replace nothing: leave it out of one of them"


class FragmentUnavailableError(PolicyError):
    """policy {importer} cannot take fragment {fragment} of policy {policy}: {detail}"""

    code = "accord-POL-022"
    exit_code = ExitCode.DENIED
    hint = "the supplying policy names in `to` who may take a fragment; see `accord policy show`"


class PolicyVersionError(PolicyError):
    """policy {policy} never had version {digest}"""

    code = "accord-POL-011"
    exit_code = ExitCode.USAGE
    hint = "`accord policy log` lists all versions"

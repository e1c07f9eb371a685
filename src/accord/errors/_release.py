# SPDX-License-Identifier: Apache-2.0
"""Errors of family REL: attest-then-release."""

from accord.errors._base import AccordError, ExitCode


class ReleaseError(AccordError):
    """{detail}"""

    exit_code = ExitCode.DENIED


class NonceError(ReleaseError):
    """the nonce is not acceptable: {detail}"""

    code = "accord-REL-001"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "each nonce serves once, for one purpose, within its lifetime; ask for a new one"


class NoPolicyError(ReleaseError):
    """policy {policy} was never enacted on this board"""

    code = "accord-REL-002"
    hint = "`accord proposal list` shows whether it is still waiting for votes"


class PolicyPendingError(ReleaseError):
    """policy {policy} is not enacted: proposal {proposal} still needs {missing}"""

    code = "accord-REL-003"
    exit_code = ExitCode.PENDING
    hint = "ask them to review it: `accord proposal show`, then `accord proposal vote`"


class UnknownServiceError(ReleaseError):
    """policy {policy} has no service {service}"""

    code = "accord-REL-004"
    hint = "`accord policy show` lists the services"


class ConsentWithdrawnError(ReleaseError):
    """{owner} has withdrawn {asset}"""

    code = "accord-REL-005"
    hint = "only the owner can offer it again"


class AssetChangedError(ReleaseError):
    """{asset} is not what was voted on: the policy pins {expected}, its owner now offers {found}"""

    code = "accord-REL-006"
    hint = "propose a policy with the new tag, so that everybody reviews the change"


class TermsError(ReleaseError):
    """the terms of {asset} do not allow this: {field} must be {expected}, found {found}"""

    code = "accord-REL-007"
    hint = "the owner sets the terms; `accord asset list --json` prints them"


class UsesExhaustedError(ReleaseError):
    """{asset} was released {uses} times, as often as {owner} allowed"""

    code = "accord-REL-008"
    hint = "the owner may register it again with a higher limit"


class UnknownRunError(ReleaseError):
    """there is no run {run} here, or none that this could be about"""

    code = "accord-REL-009"
    hint = "a run statement is accepted once, signed by the key that the release attested"


class LogKeyError(ReleaseError):
    """entry {index} is not signed by this board's attested trust service"""

    code = "accord-REL-010"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "the log was written by something else than the service the founders named"


class ReleaseInvalidError(ReleaseError):
    """entry {index} records a release that the entries before it do not allow"""

    code = "accord-REL-011"
    exit_code = ExitCode.NOT_VERIFIED
    hint = "the trust service broke its own rules; keep the log as evidence"

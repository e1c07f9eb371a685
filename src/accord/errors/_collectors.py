# SPDX-License-Identifier: Apache-2.0
"""Errors of family COL: collecting evidence from hardware, and the collateral cache."""

from accord.errors._base import AccordError, ExitCode


class CollectorError(AccordError):
    """{detail}"""


class InterfaceMissingError(CollectorError):
    """this machine has no {what}: {detail}"""

    code = "accord-COL-001"
    hint = (
        "`accord doctor` lists what this machine has and what is missing; nothing is simulated "
        "unless --simulated asks for it"
    )


class InterfaceFailedError(CollectorError):
    """{what} does not answer as it should: {detail}"""

    code = "accord-COL-002"
    hint = "`accord doctor` shows device, kernel and permissions; the kernel's log may say more"


class ReportRaceError(CollectorError):
    """{what} was used by somebody else {times} times while it made a report"""

    code = "accord-COL-003"
    hint = "another program writes to the same report; try again when it is done"


class FamilyUnclearError(CollectorError):
    """{what} cannot be told apart from other evidence: {detail}"""

    code = "accord-COL-004"
    exit_code = ExitCode.USAGE
    hint = "name the TEE with --family, and attachments with NAME=FILE"


class CollateralUnknownError(CollectorError):
    """{what} is no collateral: {detail}"""

    code = "accord-COL-005"
    exit_code = ExitCode.USAGE
    hint = (
        "give the vendor's own files: dcap-qvl JSON, PCS responses, PEM or DER certificates, "
        "revocation lists, reference manifests"
    )


class CollateralMissingError(CollectorError):
    """there is no {what}"""

    code = "accord-COL-006"
    exit_code = ExitCode.NOT_VERIFIED
    hint = (
        "`accord collateral import FILE` or `accord collateral fetch EVIDENCE` brings it; "
        "verifying never uses the network"
    )


class CollateralCacheError(CollectorError):
    """the collateral cache {path} is damaged: {detail}"""

    code = "accord-COL-007"
    exit_code = ExitCode.INTEGRITY
    hint = "nothing of it was used; delete the folder, and import or fetch again"


class FetchedOtherError(CollectorError):
    """what was fetched is not {what}: {detail}"""

    code = "accord-COL-009"
    exit_code = ExitCode.NOT_VERIFIED
    hint = (
        "nothing of it was stored; the service, the mirror or the proxy answers for another thing"
    )


class FetchError(CollectorError):
    """cannot fetch {url}: {detail}"""

    code = "accord-COL-008"
    exit_code = ExitCode.UNREACHABLE
    hint = "what the cache holds is kept; check the network, the proxy, and the URL"

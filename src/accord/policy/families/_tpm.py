# SPDX-License-Identifier: Apache-2.0
"""TPM 2.0 and Intel TXT: measured boot and late launch."""

from accord.policy.families._family import FamilyFields

_BANKS = {"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}
_PCRS = {f"{bank}.pcr{index}": (size,) for bank, size in _BANKS.items() for index in range(24)}

TPM = FamilyFields(
    measurements=_PCRS,
    required=tuple(frozenset({name}) for name in _PCRS),
)

TXT = FamilyFields(
    measurements=_PCRS,
    required=tuple(
        frozenset({f"{bank}.pcr17", f"{bank}.pcr18"}) for bank in ("sha256", "sha384", "sha512")
    ),
)

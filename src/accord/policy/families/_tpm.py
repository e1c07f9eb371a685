# SPDX-License-Identifier: Apache-2.0
"""TPM 2.0 and Intel TXT: measured boot and late launch."""

from accord.policy.families._family import FamilyFields

_BANKS = {"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}
_STRONG = ("sha256", "sha384", "sha512")
"""SHA-1 registers may be named too, but never suffice: they can be made to collide."""

_BOOT_CODE = (4, 7)
"""Registers that tell which boot loader ran, or by whose keys: it cannot undo that.

All others are the same whatever is booted, or start at zeros and are extended by whatever was
booted to any value that it likes, or are reset by anybody (16, 23).
"""

_PCRS = {f"{bank}.pcr{index}": (size,) for bank, size in _BANKS.items() for index in range(24)}
_SECURE_BOOT_KEYS = dict.fromkeys(("pk", "kek", "db", "dbx"), (32,))
_ATTRIBUTES: dict[str, type[int | str | bool]] = {
    "clock_safe": bool,
    "reset_count": int,
    "restart_count": int,
    "firmware_version": int,
    "firmware_build": int,
    "ak_issuer": str,
    "relies_on_sha1": bool,
    "event_log": bool,
    "ima_log": bool,
    "secure_boot": bool,
    "boot_aggregate": bool,
    "unjoined_ima_log": bool,
}
# A log of files is of this very boot, if there is one.
_DEFAULTS = {"clock_safe": (True,), "relies_on_sha1": (False,), "unjoined_ima_log": (False,)}

TPM = FamilyFields(
    instance_sizes=(32,),
    measurements=_PCRS | _SECURE_BOOT_KEYS,
    attributes=_ATTRIBUTES,
    defaults=_DEFAULTS,
    required=(
        frozenset({"components", "event_log"}),
        *(frozenset({f"{bank}.pcr{index}"}) for bank in _STRONG for index in _BOOT_CODE),
    ),
)

TXT = FamilyFields(
    instance_sizes=(32,),
    measurements=_PCRS | _SECURE_BOOT_KEYS,
    attributes=_ATTRIBUTES | {"txt_log": bool, "late_launch": bool},
    defaults=_DEFAULTS | {"late_launch": (True,)},
    required=(
        *(frozenset({f"{bank}.pcr17", f"{bank}.pcr18"}) for bank in _STRONG),
        frozenset({"components", "txt_log"}),
    ),
)

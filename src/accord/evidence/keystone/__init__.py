# SPDX-License-Identifier: Apache-2.0
"""RISC-V Keystone and Sanctum: enclave reports under a device key."""

from accord.evidence.keystone._ed25519_sha3 import expand_seed, public_key, sign
from accord.evidence.keystone._report import Report, parse_keystone
from accord.evidence.keystone._verify import verify_keystone

__all__ = ["Report", "expand_seed", "parse_keystone", "public_key", "sign", "verify_keystone"]

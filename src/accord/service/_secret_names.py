# SPDX-License-Identifier: Apache-2.0
"""Where the store keeps values. Every version of a policy has its own, so none is replaced."""

from __future__ import annotations

from accord.encoding import Digest


def secret_name(policy: Digest, name: str) -> str:
    """The value of a secret that one version of a policy has of its own."""
    return f"secret/{policy}/{name}"


def authority_name(policy: Digest) -> str:
    """The certificate authority of one version of a policy, with its key."""
    return f"authority/{policy}"


def deposit_name(offer: Digest) -> str:
    """What an owner deposited with an offer: a volume key, or a value."""
    return offer


def volume_key_name(volume_id: str) -> str:
    """The key of a live volume, which all versions of its policy share."""
    return f"volume/{volume_id}"

# SPDX-License-Identifier: Apache-2.0
"""The trust service's own keys: made inside its TEE, kept only under its sealing key."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from accord.encoding import Fields, base64_encode, canonical_json, parse_json
from accord.identity import Keyset, KeySigner, SealKey
from accord.service._store import Store

_SETTING = "service-keys"
_SCHEMA = "accord.service-keys.v1"


@dataclass(frozen=True, repr=False)
class ServiceKeys:
    """The log key, which also signs grants, and the key that owners seal to."""

    signer: KeySigner
    seal_private_key: X25519PrivateKey

    @classmethod
    def load_or_create(cls, store: Store) -> ServiceKeys:
        """The keys in ``store``, which encrypts them; new ones where there are none yet."""
        data = store.setting(_SETTING)
        if data is None:
            document = {
                "schema": _SCHEMA,
                "sign": base64_encode(Ed25519PrivateKey.generate().private_bytes_raw()),
                "seal": base64_encode(X25519PrivateKey.generate().private_bytes_raw()),
            }
            data = canonical_json(document)
            # Of two services that start on one store at the same time, one makes the keys.
            data = store.default_setting(_SETTING, data)
        fields = Fields(parse_json(data, what=_SETTING), _SETTING)
        fields.schema(_SCHEMA)
        sign = Ed25519PrivateKey.from_private_bytes(fields.data("sign", size=32))
        seal = X25519PrivateKey.from_private_bytes(fields.data("seal", size=32))
        fields.end()
        return cls(KeySigner(sign), seal)

    def keyset(self, tls_spki_sha256: bytes) -> Keyset:
        public = SealKey(self.seal_private_key.public_key().public_bytes_raw())
        return Keyset(self.signer.verify_key, public, tls_spki_sha256)

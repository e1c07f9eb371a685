# SPDX-License-Identifier: Apache-2.0
"""Typed claims of Arm tokens: by label, size and meaning."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from accord.encoding import CBORValue
from accord.errors import EvidenceMalformedError
from accord.evidence._cbor import read_cbor

HASH_BYTES = frozenset({32, 48, 64})
"""Sizes of a psa-hash-type (RFC 9783, 4)."""

IMPLEMENTATION_ID_BYTES = 32
INSTANCE_ID_BYTES = 33
MAX_COMPONENTS = 256
"""Most software components: eight times those of the largest recorded token."""

_UEID_RANDOM = 1
_SECURED, _DEBUG = "secured", frozenset({"non-rot-debug", "recoverable-rot-debug"})

# RFC 9783, 4.3.1, and RMM specification, A7.2.3.3.7, which have the same numbers.
_LIFECYCLES: Mapping[int, str] = MappingProxyType(
    {
        0x00: "unknown",
        0x10: "assembly-and-test",
        0x20: "rot-provisioning",
        0x30: _SECURED,
        0x40: "non-rot-debug",
        0x50: "recoverable-rot-debug",
        0x60: "decommissioned",
    }
)


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """Security lifecycle: a major state, and a number whose low byte is the implementer's own."""

    value: int
    state: str

    @property
    def is_debug(self) -> bool:
        """Whether somebody may debug the root of trust or what it protects."""
        return self.state in _DEBUG


@dataclass(frozen=True, slots=True)
class SoftwareComponent:
    """Something measured at boot (RFC 9783, 4.4.1); texts and signer are empty where left out."""

    measurement_type: str
    measurement: bytes
    version: str
    signer: bytes
    description: str


class ClaimsReader:
    """A map of claims. Claims that nobody asks for are ignored, as RFC 9783, 5.1.3, demands.

    All readers raise ``EvidenceMalformedError``.
    """

    def __init__(self, value: CBORValue, what: str) -> None:
        if not isinstance(value, Mapping):
            raise EvidenceMalformedError(what=what, detail="not a map of claims")
        self._claims, self._what = value, what

    @classmethod
    def from_payload(cls, payload: bytes, what: str) -> ClaimsReader:
        return cls(read_cbor(payload, what=what), what)

    @property
    def labels(self) -> Container[CBORValue]:
        return self._claims.keys()

    def malformed(self, name: str, detail: str) -> EvidenceMalformedError:
        return EvidenceMalformedError(what=self._what, detail=f"{name} {detail}")

    def _required(self, label: int, name: str) -> CBORValue:
        if label not in self._claims:
            raise self.malformed(name, f"({label}) is missing")
        return self._claims[label]

    def octets(self, label: int, name: str, sizes: Container[int]) -> bytes:
        value = self._required(label, name)
        if not isinstance(value, bytes) or len(value) not in sizes:
            raise self.malformed(name, "is not a byte string of a possible size")
        return value

    def text(self, label: int, name: str) -> str:
        value = self._required(label, name)
        if not isinstance(value, str) or not value:
            raise self.malformed(name, "is not a text")
        return value

    def optional_octets(self, label: int, name: str, sizes: Container[int]) -> bytes | None:
        return self.octets(label, name, sizes) if label in self._claims else None

    def optional_text(self, label: int, name: str) -> str | None:
        return self.text(label, name) if label in self._claims else None

    def integer(self, label: int, name: str, possible: Container[int]) -> int:
        value = self._required(label, name)
        if not isinstance(value, int) or isinstance(value, bool) or value not in possible:
            raise self.malformed(name, "is not a possible number")
        return value

    def array(self, label: int, name: str) -> tuple[CBORValue, ...]:
        value = self._required(label, name)
        if not isinstance(value, list) or not value:
            raise self.malformed(name, "is not a list with entries")
        return tuple(value)

    def optional_choice(self, label: int, name: str, choices: Mapping[CBORValue, str]) -> str:
        """What the value means; empty where it is left out."""
        if label not in self._claims:
            return ""
        value = self._claims[label]
        if not isinstance(value, int | str) or isinstance(value, bool) or value not in choices:
            raise self.malformed(name, "is not a possible value")
        return choices[value]

    def instance_id(self, label: int) -> bytes:
        """A UEID of type RAND (RFC 9711, 4.2.1)."""
        value = self.octets(label, "instance id", {INSTANCE_ID_BYTES})
        if value[0] != _UEID_RANDOM:
            raise self.malformed("instance id", "is not of type RAND")
        return value

    def lifecycle(self, label: int) -> Lifecycle:
        value = self.integer(label, "security lifecycle", range(1 << 16))
        state = _LIFECYCLES.get(value >> 8)
        if state is None:
            raise self.malformed("security lifecycle", f"{value:#06x} is no state")
        return Lifecycle(value, state)

    def components(self, label: int) -> tuple[SoftwareComponent, ...]:
        listed = self.array(label, "software components")
        if len(listed) > MAX_COMPONENTS:
            raise self.malformed("software components", f"are more than {MAX_COMPONENTS}")
        return tuple(_component(item, self._what) for item in listed)


def _component(value: CBORValue, what: str) -> SoftwareComponent:
    entry = ClaimsReader(value, f"software component of {what}")
    return SoftwareComponent(
        measurement_type=entry.optional_text(1, "measurement type") or "",
        measurement=entry.octets(2, "measurement value", HASH_BYTES),
        version=entry.optional_text(4, "version") or "",
        signer=entry.optional_octets(5, "signer id", HASH_BYTES) or b"",
        description=entry.optional_text(6, "measurement description") or "",
    )

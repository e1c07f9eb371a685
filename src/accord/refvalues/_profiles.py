# SPDX-License-Identifier: Apache-2.0
"""What the profiles of CoRIM mean for our families.

Arm: draft-fdb-rats-psa-endorsements, draft-ydb-rats-cca-endorsements, and the profiles that
came before them. AMD: draft-deeglaze-amd-sev-snp-corim-profile. Whatever would narrow what a
reference value admits, and has no counterpart in a policy, is refused: leaving it out would
admit more than the author vouched for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from accord.encoding import CBORValue, Digest, Tagged, sha256
from accord.errors import MalformedError, ManifestProfileError
from accord.policy import ComponentRule, Family
from accord.refvalues._keys import load_public_key, spki_of
from accord.refvalues._values import ReferenceValues

_TRIPLES = 4
_REFERENCE, _ATTEST_KEY = 0, 3
_CLASS, _INSTANCE, _GROUP = range(3)
_CLASS_ID = 0
_NAMES_OF_CLASS = {_CLASS_ID, 1, 2}  # vendor and model are words, and bind nothing
_BYTES, _IMPLEMENTATION_ID, _REFERENCE_ID, _UEID, _KEY, _SVN, _MIN_SVN = (
    560,
    600,
    601,
    550,
    554,
    552,
    553,
)
_VERSION, _SVN_VALUE, _DIGESTS, _RAW, _MASK, _NAME, _CRYPTO_KEYS, _REGISTERS = (
    0,
    1,
    2,
    4,
    5,
    11,
    13,
    14,
)
_CERTIFICATION = 100
_HASHES = {1: 32, 7: 48, 8: 64, "sha-256": 32, "sha-384": 48, "sha-512": 64}
_IMPLEMENTATION_BYTES, _INSTANCE_BYTES = 32, 33
_SNP_CLASS = bytes.fromhex("2b060104019c780201")  # 1.3.6.1.4.1.3704.2.1
_SNP_VMPL, _SNP_HOST_DATA = -2, -3
_RPV_BYTES = 64

Environment = Mapping[CBORValue, CBORValue]
Found = tuple[list[ReferenceValues], list[Digest]]


@dataclass(frozen=True, slots=True)
class _Measured:
    """One measurement: its key, and the values in its map."""

    key: CBORValue
    values: Mapping[CBORValue, CBORValue]

    def only(self, *allowed: int) -> None:
        """Refuses values that we would have to leave out."""
        more = self.values.keys() - set(allowed)
        if more:
            shown = ", ".join(sorted(map(repr, more)))
            raise _unknown(f"a measurement has values {shown}, which no policy can name")

    def digests(self) -> tuple[bytes, ...]:
        """The digests, one for each algorithm: any of them may be found in evidence."""
        listed = self.values.get(_DIGESTS)
        if not isinstance(listed, list) or not listed:
            raise _malformed("a measurement has no digests")
        return tuple(dict.fromkeys(map(_digest, listed)))

    def text(self, key: int) -> str | None:
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            raise _malformed("a name is not text")
        return value

    def version(self) -> str | None:
        """version-map: 0 the version; 1, how versions are compared, means no more than equal."""
        value = self.values.get(_VERSION)
        if value is None:
            return None
        if not isinstance(value, dict) or not isinstance(value.get(0), str):
            raise _malformed("a version is malformed")
        return str(value[0])

    def raw(self) -> bytes:
        """A raw value; a mask that leaves bits out has no counterpart in a policy."""
        value = _octets(self.values.get(_RAW))
        mask = self.values.get(_MASK)
        if mask is not None and _octets(mask) != b"\xff" * len(value):
            raise _unknown("a mask leaves bits of a raw value out")
        return value

    def svn(self) -> int | None:
        """The least security version; an exact one (552) is a least one, too: newer is safer."""
        value = self.values.get(_SVN_VALUE)
        if isinstance(value, Tagged) and value.tag in {_SVN, _MIN_SVN}:
            value = value.value
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise _malformed("a security version is not a number")
        return value


def read_tag(comid: Mapping[CBORValue, CBORValue], profile: str) -> Found:
    """Reference values, and anchors, of one CoMID.

    Raises ``MalformedError`` or ``ManifestProfileError``.
    """
    triples = comid.get(_TRIPLES)
    if not isinstance(triples, dict) or not triples:
        raise _malformed("a CoMID has no triples")
    read = _PROFILES.get(profile)
    if read is None:
        known = ", ".join(name for name in _PROFILES if name)
        raise _unknown(f"its profile is {profile or 'not named'}; known are {known}")
    caveats = [
        f"triples of kind {kind} were left out: they are no reference values"
        for kind in sorted(triples.keys() - {_REFERENCE, _ATTEST_KEY}, key=repr)
    ]
    values = []
    for environment, measurements in _pairs(triples.get(_REFERENCE)):
        listed = [_measured(item) for item in measurements]
        values.append(_with(read(environment, listed), caveats))
    anchors: list[Digest] = []
    for environment, keys in _pairs(triples.get(_ATTEST_KEY)):
        _environment(environment, instance=True)
        anchors += [_anchor(key) for key in keys]
    return values, anchors


def _pairs(value: CBORValue) -> Iterable[tuple[Environment, list[CBORValue]]]:
    if value is None:
        return
    if not isinstance(value, list):
        raise _malformed("triples are not in a list")
    for triple in value:
        match triple:
            case [dict(environment), list(listed)] if listed:
                yield environment, listed
            case _:
                raise _malformed("a triple is malformed, or has conditions")


def _measured(value: CBORValue) -> _Measured:
    """measurement-map: 0 key, 1 values; 2, who may say so, has no counterpart."""
    if not isinstance(value, dict) or not isinstance(value.get(1), dict):
        raise _malformed("a measurement is malformed")
    if value.keys() - {0, 1}:
        raise _unknown("a measurement is restricted to an authority")
    return _Measured(value.get(0), value[1])


def _environment(environment: Environment, *, instance: bool = False) -> CBORValue:
    """The class id of ``environment``; ``instance`` says whether it may name one."""
    found = environment.get(_CLASS)
    if not isinstance(found, dict) or _CLASS_ID not in found:
        raise _malformed("an environment has no class id")
    allowed = {_CLASS, _INSTANCE} if instance else {_CLASS}
    if environment.keys() - allowed or found.keys() - _NAMES_OF_CLASS:
        raise _unknown("an environment is narrowed to a group, instance, layer or index")
    return found[_CLASS_ID]


def _implementation(environment: Environment) -> bytes:
    found = _octets(_environment(environment), _BYTES, _IMPLEMENTATION_ID)
    if len(found) != _IMPLEMENTATION_BYTES:
        raise _malformed(f"an implementation id has {len(found)} bytes, expected 32")
    return found


def _component(item: _Measured) -> tuple[ComponentRule, ...]:
    """A software component; the older profiles name it in the key of the measurement (601)."""
    item.only(_VERSION, _DIGESTS, _NAME, _CRYPTO_KEYS, _CERTIFICATION)
    name, version, signer = item.text(_NAME), item.version(), None
    if isinstance(item.key, Tagged) and item.key.tag == _REFERENCE_ID:
        said = item.key.value
        if not isinstance(said, dict) or said.keys() - {1, 4, 5}:
            raise _malformed("the key of a component is malformed")
        name, version, signer = said.get(1, name), said.get(4, version), said.get(5)
    keys = item.values.get(_CRYPTO_KEYS)
    if keys is not None:
        if not isinstance(keys, list) or len(keys) != 1:
            raise _malformed("a component has not exactly one signer")
        signer = _octets(keys[0])
    if not isinstance(signer, bytes) or not signer:
        raise _malformed("a component has no signer")
    if not all(text is None or isinstance(text, str) for text in (name, version)):
        raise _malformed("a name is not text")
    return tuple(
        ComponentRule(digest=digest, signer=signer, name=name, version=version)
        for digest in item.digests()
    )


def _software(
    family: Family, key: str
) -> Callable[[Environment, list[_Measured]], ReferenceValues]:
    def read(environment: Environment, listed: list[_Measured]) -> ReferenceValues:
        implementation = _implementation(environment)
        rules: list[ComponentRule] = []
        measurements = {"implementation_id": (implementation,)}
        for item in listed:
            tagged = isinstance(item.key, Tagged) and item.key.tag == _REFERENCE_ID
            if item.key == key or tagged:
                rules += _component(item)
            elif item.key == "cca.platform-config" and family is Family.CCA:
                item.only(_RAW, _MASK)
                measurements["config"] = (item.raw(),)
            else:
                raise _unknown(f"a measurement is called {item.key!r}")
        return ReferenceValues(
            family,
            measurements=MappingProxyType(measurements),
            components=tuple(dict.fromkeys(rules)),
        )

    return read


def _realm(environment: Environment, listed: list[_Measured]) -> ReferenceValues:
    identity = _octets(_environment(environment), _BYTES)
    found: dict[str, tuple[bytes, ...]] = {}
    for item in listed:
        name = item.key.removeprefix("cca.") if isinstance(item.key, str) else ""
        if name == "rpv":
            item.only(_RAW, _MASK)
            found[name] = (item.raw().ljust(_RPV_BYTES, b"\0"),)
        elif name in {"rim", "rem0", "rem1", "rem2", "rem3"}:
            item.only(_DIGESTS)
            found[name] = item.digests()
        else:
            raise _unknown(f"a measurement is called {item.key!r}")
    if found.get("rim") != (identity,):
        raise _malformed("the environment and the measurement name different realms")
    return ReferenceValues(Family.CCA, measurements=MappingProxyType(found))


def _old_realm(environment: Environment, listed: list[_Measured]) -> ReferenceValues:
    """The older profile: the realm is the instance, its registers are in one measurement."""
    _environment(environment, instance=True)
    if len(listed) != 1:
        raise _unknown("an environment of a realm has more than one measurement")
    listed[0].only(_RAW, _MASK, _REGISTERS)
    registers = listed[0].values.get(_REGISTERS)
    if not isinstance(registers, dict) or not registers:
        raise _malformed("a realm has no integrity registers")
    measured = [
        _Measured(f"cca.{name}", {_DIGESTS: listing}) for name, listing in registers.items()
    ]
    if _RAW in listed[0].values:
        raw = {_RAW: listed[0].values[_RAW], _MASK: listed[0].values.get(_MASK)}
        measured.append(_Measured("cca.rpv", {k: v for k, v in raw.items() if v is not None}))
    identity = Tagged(_BYTES, _octets(environment.get(_INSTANCE)))
    return _realm({_CLASS: {_CLASS_ID: identity}}, measured)


def _snp(environment: Environment, listed: list[_Measured]) -> ReferenceValues:
    match _environment(environment):
        case Tagged(tag=111, value=bytes(oid)) if oid == _SNP_CLASS:
            pass
        case _:
            raise _unknown("an environment is none of SEV-SNP")
    if len(listed) != 1 or listed[0].key is not None:
        raise _unknown("an environment of SEV-SNP has more than its one measurement")
    item = listed[0]
    item.only(_DIGESTS, _SVN_VALUE, _SNP_VMPL, _SNP_HOST_DATA)
    measurements = {"measurement": item.digests()}
    if _SNP_HOST_DATA in item.values:
        measurements["host_data"] = (_octets(item.values[_SNP_HOST_DATA]),)
    vmpl, svn = item.values.get(_SNP_VMPL), item.svn()
    if vmpl is not None and (isinstance(vmpl, bool) or not isinstance(vmpl, int)):
        raise _malformed("a VMPL is not a number")
    return ReferenceValues(
        Family.SNP,
        measurements=MappingProxyType(measurements),
        attributes=MappingProxyType({} if vmpl is None else {"vmpl": (vmpl,)}),
        minimums=MappingProxyType({} if svn is None else {"guest_svn": svn}),
    )


_PSA = _software(Family.PSA, "psa.software-component")
_CCA = _software(Family.CCA, "cca.software-component")
_PROFILES: Mapping[str, Callable[[Environment, list[_Measured]], ReferenceValues]] = (
    MappingProxyType(
        {
            "tag:arm.com,2025:psa#1.0.0": _PSA,
            "http://arm.com/psa/iot/1": _PSA,
            "tag:arm.com,2025:cca_platform#1.0.0": _CCA,
            "tag:arm.com,2023:cca_platform#1.0.0": _CCA,
            "http://arm.com/cca/ssd/1": _CCA,
            "tag:arm.com,2025:cca_realm#1.0.0": _realm,
            "tag:arm.com,2023:realm#1.0.0": _old_realm,
            "http://arm.com/cca/realm/1": _old_realm,
            "http://amd.com/2024/snp-corim-profile": _snp,
            "tag:amd.com,2024:snp-corim-profile": _snp,
            "tag:amd.com,2025:snp-corim-profile": _snp,
        }
    )
)


def _digest(value: CBORValue) -> bytes:
    match value:
        case [algorithm, bytes(digest)] if not isinstance(algorithm, bool | list | dict | Tagged):
            if _HASHES.get(algorithm) == len(digest):
                return digest
    raise _malformed("a digest is malformed, or of another algorithm than SHA-2")


def _octets(value: CBORValue, *tags: int) -> bytes:
    if isinstance(value, Tagged) and value.tag in (tags or (_BYTES,)):
        value = value.value
    if not isinstance(value, bytes):
        raise _malformed("expected bytes")
    return value


def _anchor(value: CBORValue) -> Digest:
    """A device's key (554: base64 or PEM of its SubjectPublicKeyInfo), as an anchor."""
    match value:
        case Tagged(tag=554, value=str(text)):
            if "-----BEGIN" not in text:
                text = f"-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n"
            return sha256(spki_of(load_public_key(text.encode(), what="key of a device")))
    raise _unknown("a key of a device is not in the form that tag 554 marks")


def _with(values: ReferenceValues, caveats: list[str]) -> ReferenceValues:
    return replace(values, caveats=(*values.caveats, *caveats))


def _malformed(detail: str) -> MalformedError:
    return MalformedError(what="manifest", detail=detail)


def _unknown(detail: str) -> ManifestProfileError:
    return ManifestProfileError(detail=detail)

# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of policies, for editors: made from the same tables as the strict reader.

What a schema cannot say (digests that exist, paths that overlap, templates that name nothing)
only the reader refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from accord.encoding import MAX_ITEMS, MAX_TEXT, NAME, JSONValue
from accord.policy._access import ANYONE
from accord.policy._attestation import ADVISORY, PARTS, TCB_STATUSES, WHOLE
from accord.policy._document import POLICY_SCHEMA, SALT_BYTES
from accord.policy._fragment_uses import MAX_USES
from accord.policy._fragments import MAX_FRAGMENTS
from accord.policy._freshness import MAX_LEASE_TTL_S, MAX_LEASE_USES, FreshnessMode
from accord.policy._live import MAX_VOLUMES, UpdateMode
from accord.policy._names import ASSET, MAX_NAME, MAX_NAMES
from accord.policy._rules import MAX_WEIGHT, SETS
from accord.policy._schema_secrets import export_schema, secret_schemas
from accord.policy._schema_words import (
    DIGEST,
    INTEGER,
    Schema,
    choice,
    hexes,
    integer,
    listed,
    mapping,
    record,
    ref,
    text,
)
from accord.policy._secrets import AUTHORITY, IDENTITY, MAX_SECRETS
from accord.policy._service import (
    MAX_FILE,
    MAX_LEASE_S,
    MAX_PATH,
    MAX_TIMEOUT_S,
    MIN_LEASE_S,
    MODE,
    VARIABLE,
    Channel,
    Network,
)
from accord.policy.families import FAMILIES, Family, FamilyFields

_TYPES: Mapping[type, Schema] = {
    bool: {"type": "boolean"},
    int: INTEGER,
    str: {"type": "string", "maxLength": MAX_TEXT},
}


def policy_schema() -> Schema:
    """JSON Schema 2020-12 of `Policy`; whatever it refuses the reader refuses too."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:accord:schema:policy:v1",
        "title": "Accord policy",
        **_policy(),
        "$defs": {
            **_words(),
            "access": _access(),
            "freshness": _freshness(),
            "rule": _rule(),
            **secret_schemas(),
            "export": export_schema(),
            "service": _service(),
            "input": _input(),
            "output": _output(),
            "volume": record(optional={"update": choice(UpdateMode, UpdateMode.PROTECTED)}),
            "fragment": _fragment(),
            "fragment-use": record(
                required={"policy": ref("policy-name"), "fragment": ref("name")},
                optional={
                    "version": {**ref("digest"), "description": "`accord policy resolve` adds it."}
                },
            ),
            "mount": record(required={"volume": ref("name"), "at": _path("/data/")}),
            "file": _file(),
            "component": _component(),
            "variant": _by_family(FAMILIES, "variant"),
            "part": _by_family(PARTS, "part"),
            **{f"variant-{name}": _variant(name) for name in FAMILIES},
            **{f"part-{name}": _part(name) for name in sorted(PARTS)},
            **_values(),
        },
    }


def _words() -> dict[str, Schema]:
    return {
        "name": text(f"^{NAME.pattern}$", "Lower-case letters, digits, dot, dash, underscore."),
        "text": {"type": "string", "maxLength": MAX_TEXT},
        "digest": text(DIGEST, "SHA-256 as sha256: and 64 lower-case hex digits."),
        "time": text(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$", "In UTC."),
        "asset": text(f"^{ASSET.pattern}$", "OWNER/NAME on the board."),
        "policy-name": {
            **text(f"^{NAME.pattern}(/{NAME.pattern}){{0,{MAX_NAMES - 1}}}$", "NAME/NAME/..."),
            "maxLength": MAX_NAME,
        },
        "term": text(f"^((member|role):{NAME.pattern}|{'|'.join(SETS)})$", "Whom it means."),
        "reader": text(
            f"^({ANYONE}|key:{DIGEST.strip('^$')})$", "A key id, or anyone (then nobody else)."
        ),
    }


def _policy() -> Schema:
    secrets = mapping(ref("secret"), names={"not": {"enum": [AUTHORITY, IDENTITY]}})
    return record(
        required={
            "schema": {"const": POLICY_SCHEMA},
            "name": {**ref("policy-name"), "description": "Shared by all versions."},
            "purpose": {**ref("name"), "description": "Owners allow purposes in their terms."},
            "services": {**mapping(ref("service")), "description": "Programs, by name."},
        },
        optional={
            "predecessor": {**ref("digest"), "description": "The version that it replaces."},
            "namespace": {
                **ref("digest"),
                "description": "First version of A/B only: the version in force of A.",
            },
            "salt": text(f"^[0-9a-f]{{{2 * SALT_BYTES}}}$", "Makes the digest unguessable."),
            "not_after": {**ref("time"), "description": "Nothing is released from then on."},
            "freshness": {**ref("freshness"), "description": "What a rollback could make of it."},
            "access": ref("access"),
            "authority": _flag(False, "Whether it has a certificate authority of its own."),
            "secrets": {**secrets, "maxProperties": MAX_SECRETS},
            "exports": listed(ref("export")),
            "volumes": {**mapping(ref("volume")), "maxProperties": MAX_VOLUMES},
            "fragments": {**mapping(ref("fragment")), "maxProperties": MAX_FRAGMENTS},
        },
    )


def _access() -> Schema:
    return record(
        optional={
            "read": listed(ref("reader"), unique=True),
            "list": listed(ref("reader"), unique=True),
            "update": {**ref("rule"), "description": "The next version needs it as well."},
            "create": {**ref("rule"), "description": "Policies below it need it as well."},
        }
    )


def _freshness() -> Schema:
    """Only a lease has a size and a time, and it has both."""
    lease = {"mode": {"const": FreshnessMode.LEASE.value}}
    sizes = ("max_uses", "ttl_s")
    whole = record(
        required={"mode": choice(FreshnessMode)},
        optional={
            "max_uses": integer(1, MAX_LEASE_USES),
            "ttl_s": integer(1, MAX_LEASE_TTL_S),
        },
    )
    return {
        **whole,
        "if": {"properties": lease, "required": ["mode"]},
        "then": {"required": [*sizes]},
        "else": {"properties": dict.fromkeys(sizes, False)},
    }


def _rule() -> Schema:
    some = listed(ref("rule"), least=1)

    def counted(number: str) -> Schema:
        most = integer(1, MAX_ITEMS * MAX_WEIGHT)
        return record(required={number: most, "of": ref("term")})

    return {
        "anyOf": [
            ref("term"),
            record(required={"all": some}),
            record(required={"any": some}),
            record(required={"at_least": counted("n")}),
            record(required={"weighted": counted("min")}),
        ]
    }


def _service() -> Schema:
    return record(
        required={
            "attestation": listed(ref("variant"), least=1),
            "command": listed(ref("text"), least=1),
            "inputs": listed(ref("input")),
            "outputs": listed(ref("output")),
        },
        optional={
            "environment": _variables(),
            "workdir": {**_path("/", MAX_TEXT), "default": "/tmp"},  # noqa: S108 - within the shield
            "network": choice(Network, Network.NONE),
            "timeout_s": {**integer(1, MAX_TIMEOUT_S), "default": 3600},
            "files": listed(ref("file")),
            "channel": choice(Channel, Channel.L1),
            "singleton": _flag(False, "Each start needs an instance token."),
            "identity": _flag(False, "Gets a certificate of the policy's authority."),
            "lease_s": integer(MIN_LEASE_S, MAX_LEASE_S),
            "totp": {**ref("name"), "description": "Secret of the second factor."},
            "volumes": {**listed(ref("mount")), "description": "Live volumes of the policy."},
            "fragments": {**listed(ref("fragment-use")), "maxItems": MAX_USES},
        },
    )


def _variables() -> Schema:
    return {
        "type": "object",
        "additionalProperties": ref("text"),
        "propertyNames": {"pattern": f"^{VARIABLE.pattern}$"},
    }


def _fragment() -> Schema:
    return record(
        required={"to": listed(ref("policy-name"), least=1, unique=True)},
        optional={
            "namespace": _flag(False, "Policies below those in `to` may take it, too."),
            "attestation": listed(ref("variant")),
            "environment": _variables(),
            "files": listed(ref("file")),
        },
    )


def _input() -> Schema:
    return record(
        required={"asset": ref("asset"), "tag": ref("digest"), "at": _path("/in/")},
    )


def _output() -> Schema:
    return record(
        required={
            "name": ref("name"),
            "at": _path("/out/"),
            "readers": listed(ref("name"), least=1, unique=True),
        },
        optional={"max_bytes": integer(1, 2**53 - 1)},
    )


def _file() -> Schema:
    return record(
        required={"at": _path("/run/"), "content": {"type": "string", "maxLength": MAX_FILE}},
        optional={"mode": {**text(f"^{MODE.pattern}$", "Four octal digits."), "default": "0400"}},
    )


def _path(root: str, limit: int = MAX_PATH) -> Schema:
    return {**text(f"^{root}", f"A plain path below {root}, without `..`."), "maxLength": limit}


def _flag(default: bool, words: str) -> Schema:  # noqa: FBT001 - a default, not a switch
    return {"type": "boolean", "default": default, "description": words}


def _component() -> Schema:
    octets = text("^([0-9a-f]{2}){1,64}$", "In lower-case hex.")
    words = dict.fromkeys(("kind", "name", "version"), ref("text"))
    return {
        **record(optional={"digest": octets, "signer": octets, **words}),
        "anyOf": [{"required": ["digest"]}, {"required": ["signer"]}],
    }


def _by_family(families: Iterable[Family], kind: str) -> Schema:
    """The variant of the family that it names: editors then offer that family's fields alone."""
    names = sorted(families)
    return {
        "type": "object",
        "required": ["family"],
        "properties": {"family": {"enum": [str(name) for name in names]}},
        "allOf": [
            {
                "if": {"properties": {"family": {"const": str(name)}}, "required": ["family"]},
                "then": ref(f"{kind}-{name}"),
            }
            for name in names
        ],
    }


def _part(family: Family) -> Schema:
    """A part has no parts of its own."""
    return {**ref(f"variant-{family}"), "properties": {"parts": False}}


def _values_name(sizes: Iterable[int]) -> str:
    return "values-" + "-".join(map(str, sorted(sizes)))


def _values() -> dict[str, Schema]:
    """Lists of measurements, by the sizes in bytes that one can have, and of attributes."""
    known = (sizes for fields in FAMILIES.values() for sizes in fields.measurements.values())
    values = {_values_name(sizes): hexes(sizes) for sizes in known}
    values |= {f"values-{item['type']}": item for item in _TYPES.values()}
    return {name: listed(item, least=1, unique=True) for name, item in values.items()}


def _variant(family: Family) -> Schema:
    known = FAMILIES[family]
    numbers = {name: INTEGER for name, kind in known.attributes.items() if kind is int}
    instances = listed(hexes(known.instance_sizes), least=1, unique=True)
    optional: dict[str, Schema] = {
        "simulated": _flag(False, "Evidence under a test root is admitted INSTEAD of hardware."),
        "measurements": record(
            optional={name: ref(_values_name(sizes)) for name, sizes in known.measurements.items()}
        ),
        "attributes": record(
            optional={
                name: ref(f"values-{_TYPES[kind]['type']}")
                for name, kind in known.attributes.items()
            }
        ),
        "minimums": {**record(optional=numbers), "minProperties": 1},
        "components": listed(ref("component"), least=1, unique=True),
        "allowed_instances": instances,
        "denied_instances": instances,
    }
    if known.has_tcb_status:
        optional |= _tcb_fields()
    names: Schema = {"not": {"const": WHOLE}}
    optional["parts"] = {**mapping(ref("part"), names=names), "minProperties": 1}
    variant = record(required={"family": {"const": str(family)}}, optional=optional)
    return {**variant, **_required(known)}


def _tcb_fields() -> dict[str, Schema]:
    statuses: Schema = {"enum": list(TCB_STATUSES)}
    return {
        "tcb_statuses": listed(statuses, least=1, unique=True),
        "tcb_grace": {
            "type": "object",
            "propertyNames": statuses,
            "additionalProperties": ref("time"),
            "minProperties": 1,
        },
        "min_tcb_evaluation_number": INTEGER,
        "rejected_advisories": listed(
            text(f"^({ADVISORY.pattern})$", "An advisory of the vendor."),
            least=1,
            unique=True,
        ),
    }


def _required(known: FamilyFields) -> dict[str, JSONValue]:
    """That the code is named, in one of the ways of the family."""
    ways: list[JSONValue] = [
        {"allOf": [_names_field(known, name) for name in sorted(names)]} for names in known.required
    ]
    return {"anyOf": ways}


def _names_field(known: FamilyFields, name: str) -> Schema:
    if name == "components":
        return {"required": ["components"]}
    places = ["measurements"] if name in known.measurements else ["attributes", "minimums"]
    return {
        "anyOf": [
            {"required": [place], "properties": {place: {"required": [name]}}} for place in places
        ]
    }

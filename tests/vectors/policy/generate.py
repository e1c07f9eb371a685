# SPDX-License-Identifier: Apache-2.0
"""Makes the policy vectors: YAML in, canonical JSON and digest out; one flaw per ``_fail`` folder.

``python tests/vectors/policy/generate.py`` writes them; a test fails where they differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from accord.encoding import canonical_json
from accord.policy import parse_policy

HERE = Path(__file__).parent
MRTD, TAG = "00" * 48, "sha256:" + "11" * 32

SHORT = f"""\
schema: accord.policy.v1
name: train
purpose: screening
services:
  train:
    attestation:
      - family: tdx
        measurements:
          mrtd: ["{MRTD}"]
    command: [/usr/bin/python3, /in/code/train.py]
    inputs:
      - {{asset: lab/code, tag: "{TAG}", at: /in/code}}
    outputs:
      - {{name: model, at: /out/model, readers: [clinic]}}
"""
FULL = f"""\
# Every field, in another order and style.
services:
  train:
    totp: door
    volumes: [{{at: /data/state, volume: state}}]
    fragments: [{{version: "{TAG}", fragment: place, policy: screening}}]
    identity: true
    singleton: true
    channel: L2
    lease_s: 600
    files:
      - {{at: /run/tls/key.pem, content: "{{{{ accord.identity:privatekey }}}}\\n", mode: "0440"}}
      - at: /run/token
        content: "{{{{accord.token}}}}"
    outputs: [{{readers: [clinic, lab], at: /out/model, name: model, max_bytes: 1048576}}]
    inputs:
      - {{asset: ann/records, tag: "{TAG}", at: /in/records}}
      - {{asset: lab/code, tag: "{TAG}", at: /in/code}}
    timeout_s: 600
    network: open
    workdir: /in/code
    environment: {{GREETING: "two\\nlines", EPOCHS: "3", CA: "{{{{ accord.authority:crt }}}}"}}
    command: ["/usr/bin/python3", '/in/code/train.py', --fast]
    attestation:
      - {{family: tdx, simulated: true, measurements: {{mrtd: ["{MRTD}"]}}}}
      - family: tdx
        simulated: false
        measurements: {{rtmr0: ["{MRTD}", "{"22" * 48}"], mrtd: ["{MRTD}"]}}
        tcb_statuses: [UpToDate, SWHardeningNeeded]
        tcb_grace: {{OutOfDate: 2027-01-01T00:00:00Z}}
        min_tcb_evaluation_number: 17
        rejected_advisories: [INTEL-SA-00837]
        attributes: {{sept_ve_disable: [true]}}
        minimums: {{tdx_module_svn: 6}}
        components: [{{digest: 0e, name: kernel, version: "6", kind: boot, signer: 0f}}]
        allowed_instances: ["{"01" * 16}"]
        denied_instances: ["{"02" * 16}"]
        parts:
          gpu0: {{family: nvidia, attributes: {{driver_version: ["550"], vbios_version: ["96"]}}}}
exports:
  - {{secret: token, to: screening/report, pin: "{TAG}"}}
  - {{secret: token, to: screening, namespace: true}}
secrets:
  token: {{kind: ascii, size: 40, rotate: 2}}
  door: {{kind: binary}}
authority: true
access:
  read: ["key:{TAG}"]
  list: [anyone]
  update:
    any: ["member:ann", {{all: ["role:lab", {{at_least: {{n: 2, of: affected_owners}}}}]}}]
  create: {{weighted: {{min: 3, of: lineage_owners}}}}
not_after: 2027-06-30T12:00:00Z
freshness: {{ttl_s: 60, max_uses: 100, mode: lease}}
volumes: {{state: {{update: unprotected}}}}
fragments:
  place:
    to: [screening/report]
    namespace: true
    attestation: [{{family: tdx, simulated: true, measurements: {{mrtd: ["{MRTD}"]}}}}]
    environment: {{REGION: eu}}
    files: [{{at: /run/region, content: eu}}]
salt: 000102030405060708090a0b0c0d0e0f
purpose: screening
predecessor: "{TAG}"
name: train
schema: accord.policy.v1
"""
PEER = f'board: "{TAG}", log_key: {"A" * 43}='
SECRETS = f"""\
schema: accord.policy.v1
name: screening/2027/keys
namespace: "{TAG}"
purpose: screening
services: {{}}
exports:
  - {{secret: web, to: public}}
  - {{secret: seed, to: train, service: {{{PEER}}}}}
secrets:
  text: {{kind: ascii}}
  seed: {{kind: binary, size: 16}}
  pair: {{kind: key, algorithm: p256, migrate: true}}
  big: {{kind: key, algorithm: rsa-3072}}
  half: {{kind: public-key, of: pair}}
  tokens: {{kind: jwt-key, algorithm: EdDSA, rotate: 1, migrate: true}}
  root: {{kind: x509-ca, common_name: Our root, valid_days: 3650}}
  middle: {{kind: x509-ca, common_name: Our middle, issuer: root}}
  web:
    kind: x509
    common_name: web
    key: pair
    issuer: middle
    endpoint: server
    san: ["dns:*.web.example", "ip:2001:db8::1", "uri:spiffe://web.example/a"]
    valid_days: 30
  given: {{kind: asset, asset: ann/password}}
  taken: {{kind: import, policy: train, secret: token, pin: "{TAG}"}}
  far:
    kind: import
    policy: train
    secret: token
    service: {{{PEER}, url: "https://trust.example:8443"}}
"""

VALID: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "defaults": ("Fields left out have their defaults in the canonical form.", SHORT),
        "every_field": ("Order, style and comments do not matter.", FULL),
        "every_secret": ("All kinds of secrets; the first version within a namespace.", SECRETS),
    }
)


def change(old: str, new: str) -> str:
    if SHORT.count(old) != 1:
        raise ValueError(old)
    return SHORT.replace(old, new)


def top(line: str) -> str:
    return SHORT + line + "\n"


def service(line: str) -> str:
    return SHORT + "    " + line + "\n"


def secret(line: str, *more: str) -> str:
    """The policy with a token, a certificate authority and this secret."""
    return "\n".join(
        [SHORT + "secrets:", *(f"  {text}" for text in (TOKEN, ROOT, line)), *more, ""]
    )


def export(line: str) -> str:
    return secret("taken: {kind: import, policy: p, secret: s}", "exports:", f"  - {line}")


TOKEN, ROOT = "token: {kind: ascii}", "root: {kind: x509-ca, common_name: root}"
NESTED = "{all: [" * 9 + '"member:ann"' + "]}" * 9

SYNTAX, CONTENT = "accord-POL-001", "accord-POL-002"
MALFORMED, FORMAT = "accord-ENC-001", "accord-ENC-004"
RULE = "accord-BRD-002"
TEMPLATE, NO_SECRET, NO_FORMAT = "accord-SEC-001", "accord-SEC-002", "accord-SEC-003"

FLAWS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "duplicate_key_fail": ("A key appears twice.", SYNTAX, SHORT + "name: other\n"),
        "anchor_fail": ("A value has an anchor.", SYNTAX, change("name: train", "name: &n train")),
        "alias_fail": (
            "A value is an alias.",
            SYNTAX,
            change("name: train\npurpose: screening", "name: &n train\npurpose: *n"),
        ),
        "tag_fail": ("A value has a tag.", SYNTAX, change("name: train", "name: !!str train")),
        "merge_key_fail": ("A merge key.", SYNTAX, SHORT + "<<: {name: other}\n"),
        "directive_fail": ("A YAML directive.", SYNTAX, "%YAML 1.1\n---\n" + SHORT),
        "second_document_fail": ("A second document.", SYNTAX, SHORT + "---\n" + SHORT),
        "deep_nesting_fail": ("Nested too deeply.", SYNTAX, "a: " + "[" * 40 + "]" * 40 + "\n"),
        "missing_schema_fail": (
            "The version is missing.", MALFORMED, change("schema: accord.policy.v1\n", "")
        ),
        "other_schema_fail": ("Another version.", FORMAT, change("policy.v1", "policy.v2")),
        "unknown_field_fail": ("A field nobody knows.", MALFORMED, SHORT + "debug: true\n"),
        "control_character_fail": (
            "A control character, escaped.", MALFORMED, change("[/usr/bin/python3", '["\\e[2J"')
        ),
        "bidirectional_fail": (
            "A character that turns text around.",
            MALFORMED,
            change("[/usr/bin/python3", '["\\u202E"'),
        ),
        "float_fail": ("A number that is no integer.", MALFORMED, SHORT + "    timeout_s: 1.5\n"),
        "network_fail": ("An unknown network.", MALFORMED, SHORT + "    network: any\n"),
        "measurement_size_fail": (
            "A measurement of 47 bytes.", MALFORMED, change(MRTD, MRTD[2:])
        ),
        "upper_case_hex_fail": (
            "A measurement in upper case.", MALFORMED, change(MRTD, "AA" * 48)
        ),
        "no_measurement_fail": (
            "The measurement that names the code is missing.", MALFORMED, change("mrtd", "rtmr0")
        ),
        "revoked_fail": (
            "A revoked platform is tolerated.",
            MALFORMED,
            change("    command", "        tcb_statuses: [Revoked]\n    command"),
        ),
        "no_attestation_fail": (
            "No environment is acceptable.",
            CONTENT,
            change(
                "attestation:\n      - family: tdx\n        measurements:\n"
                f'          mrtd: ["{MRTD}"]',
                "attestation: []",
            ),
        ),
        "no_reader_fail": ("Nobody can read.", CONTENT, change("[clinic]", "[]")),
        "parent_path_fail": (
            "A path that leaves its root.", CONTENT, change("at: /in/code", "at: /in/../etc")
        ),
        "line_break_in_path_fail": (
            "A path of two lines.", CONTENT, change("at: /in/code", 'at: "/in/a\\nb"')
        ),
        "overlap_fail": (
            "One input hides another.",
            CONTENT,
            change(
                "    outputs:",
                f'      - {{asset: lab/code, tag: "{TAG}", at: /in/code/x}}\n    outputs:',
            ),
        ),
        "nothing_fail": (
            "Neither a service nor a secret.",
            CONTENT,
            SHORT.partition("services:")[0] + "services: {}\n",
        ),
        # --- names and versions
        "namespace_missing_fail": (
            "The first version in a namespace does not name its parent.",
            CONTENT,
            change("name: train\n", "name: a/train\n"),
        ),
        "namespace_at_the_top_fail": (
            "A policy in no namespace names a parent.", CONTENT, top(f'namespace: "{TAG}"')
        ),
        "namespace_of_an_update_fail": (
            "A later version names a parent.",
            CONTENT,
            change("name: train\n", f'name: a/t\nnamespace: "{TAG}"\npredecessor: "{TAG}"\n'),
        ),
        "namespace_too_deep_fail": (
            "Nine names.", MALFORMED, change("name: train\n", "name: a/b/c/d/e/f/g/h/i\n")
        ),
        "salt_size_fail": ("A salt of 15 bytes.", MALFORMED, top(f'salt: "{"00" * 15}"')),
        "not_after_fail": (
            "A time with an offset.", MALFORMED, top("not_after: 2027-01-01T00:00:00+01:00")
        ),
        "freshness_mode_fail": (
            "A mode nobody knows.", MALFORMED, top("freshness: {mode: eventually}")
        ),
        "freshness_lease_fail": (
            "A lease without an end.", MALFORMED, top("freshness: {mode: lease, max_uses: 5}")
        ),
        "freshness_lease_long_fail": (
            "A lease of more than a day.",
            MALFORMED,
            top("freshness: {mode: lease, max_uses: 5, ttl_s: 86401}"),
        ),
        "freshness_strict_fail": (
            "A size of what is no lease.",
            MALFORMED,
            top("freshness: {mode: strict, max_uses: 5}"),
        ),
        "authority_fail": ("A flag that is text.", MALFORMED, top('authority: "yes"')),
        # --- access
        "access_member_reads_fail": (
            "A member, who reads it anyway.", MALFORMED, top('access: {read: ["member:a"]}')
        ),
        "access_reader_twice_fail": (
            "Anyone, and somebody.", MALFORMED, top(f'access: {{list: [anyone, "key:{TAG}"]}}')
        ),
        "access_unknown_term_fail": (
            "A rule names no member, role or set.", MALFORMED, top("access: {update: ann}")
        ),
        "access_empty_rule_fail": (
            "A rule that everybody always satisfies.", RULE, top("access: {update: {all: []}}")
        ),
        "access_deep_rule_fail": (
            "A rule nested too deeply.", RULE, top(f"access: {{update: {NESTED}}}")
        ),
        "access_zero_fail": (
            "A rule that counts to nought.",
            MALFORMED,
            top('access: {create: {at_least: {n: 0, of: "role:lab"}}}'),
        ),
        # --- live volumes and fragments
        "volume_mode_fail": (
            "A way of updating nobody knows.",
            MALFORMED,
            top("volumes: {state: {update: sometimes}}"),
        ),
        "fragment_network_fail": (
            "A fragment that opens the network.",
            MALFORMED,
            top("fragments: {f: {to: [a], network: open}}"),
        ),
        "fragment_for_nobody_fail": (
            "A fragment for nobody.", CONTENT, top("fragments: {f: {to: [], environment: {A: b}}}")
        ),
        "fragment_secret_fail": (
            "A fragment that names a secret of whoever takes it.",
            CONTENT,
            top('fragments: {f: {to: [a], environment: {A: "{{ accord.token }}"}}}'),
        ),
        "fragment_unresolved_fail": (
            "A service that takes a fragment of no version.",
            "accord-POL-020",
            service("fragments: [{policy: a, fragment: f}]"),
        ),
        # --- secrets and exports
        "secret_kind_fail": ("A kind nobody knows.", MALFORMED, secret("x: {kind: pgp-key}")),
        "secret_value_fail": (
            "A value in a policy.", MALFORMED, secret("x: {kind: ascii, value: secret}")
        ),
        "secret_reserved_name_fail": (
            "The name of the policy's own authority.", CONTENT, secret("authority: {kind: ascii}")
        ),
        "secret_name_fail": ("A name in capitals.", CONTENT, secret("TOKEN: {kind: ascii}")),
        "secret_size_fail": (
            "Short enough to guess.", MALFORMED, secret("x: {kind: ascii, size: 15}")
        ),
        "secret_field_of_another_kind_fail": (
            "A size of a key.", MALFORMED, secret("x: {kind: key, algorithm: p256, size: 32}")
        ),
        "secret_of_nothing_fail": (
            "The public key of a text.", CONTENT, secret("x: {kind: public-key, of: token}")
        ),
        "secret_circle_fail": (
            "An authority that issued itself, by a detour.",
            CONTENT,
            secret(
                "a: {kind: x509-ca, common_name: a, issuer: b}",
                "  b: {kind: x509-ca, common_name: b, issuer: a}",
            ),
        ),
        "secret_outlives_issuer_fail": (
            "A certificate valid for longer than its issuer's.",
            CONTENT,
            secret("x: {kind: x509-ca, common_name: x, issuer: root, valid_days: 366}"),
        ),
        "secret_server_without_name_fail": (
            "A server's certificate that no client accepts.",
            CONTENT,
            secret("x: {kind: x509, common_name: web, endpoint: server}"),
        ),
        "secret_alternative_name_fail": (
            "An alternative name without its type.",
            MALFORMED,
            secret("x: {kind: x509, common_name: web, endpoint: client, san: [web.example]}"),
        ),
        "secret_service_without_tls_fail": (
            "Another trust service is named without TLS.",
            MALFORMED,
            secret(
                "x: {kind: import, policy: p, secret: s, "
                f'service: {{{PEER}, url: "http://trust.example"}}}}'
            ),
        ),
        "export_of_nothing_fail": (
            "A secret that is not there.", CONTENT, export("{secret: nothing, to: p}")
        ),
        "export_of_import_fail": (
            "Somebody else's secret.", CONTENT, export("{secret: taken, to: p}")
        ),
        "export_public_text_fail": (
            "The public part of what has none.", CONTENT, export("{secret: token, to: public}")
        ),
        "export_public_pin_fail": (
            "Everybody, on a condition.",
            CONTENT,
            export(f'{{secret: root, to: public, pin: "{TAG}"}}'),
        ),
        "export_pinned_namespace_fail": (
            "One version of many policies.",
            CONTENT,
            export(f'{{secret: root, to: p, namespace: true, pin: "{TAG}"}}'),
        ),
        "export_twice_fail": (
            "The same export again.",
            CONTENT,
            export("{secret: root, to: p}") + f'  - {{secret: root, to: p, pin: "{TAG}"}}\n',
        ),
        # --- templates and files
        "template_malformed_fail": (
            "Almost a template.", TEMPLATE, service('environment: {A: "{{ accord.Token }}"}')
        ),
        "template_unknown_fail": (
            "A secret that is not there.", NO_SECRET, service('environment: {A: "{{ accord.t }}"}')
        ),
        "template_of_authority_fail": (
            "The authority of a policy that has none.",
            NO_SECRET,
            service('environment: {A: "{{ accord.authority:crt }}"}'),
        ),
        "template_format_fail": (
            "A text as a certificate.",
            NO_FORMAT,
            service('environment: {A: "{{ accord.token:crt }}"}') + f"secrets: {{{TOKEN}}}\n",
        ),
        "template_bytes_fail": (
            "Raw bytes in an environment variable.",
            NO_FORMAT,
            service('environment: {A: "{{ accord.token:bin }}"}') + f"secrets: {{{TOKEN}}}\n",
        ),
        "file_outside_run_fail": (
            "A file on a disk.", CONTENT, service('files: [{at: /etc/x, content: ""}]')
        ),
        "file_mode_fail": (
            "A mode that gives a file's rights to whoever runs it.",
            MALFORMED,
            service('files: [{at: /run/x, content: "", mode: "4755"}]'),
        ),
        "file_overlap_fail": (
            "One file below another.",
            CONTENT,
            service('files: [{at: /run/x, content: ""}, {at: /run/x/y, content: ""}]'),
        ),
        # --- conditions of release
        "lease_fail": ("A lease too short to renew.", MALFORMED, service("lease_s: 9")),
        "channel_fail": ("An unknown channel.", MALFORMED, service("channel: L3")),
        "singleton_fail": ("A flag that is a number.", MALFORMED, service("singleton: 1")),
        "max_bytes_fail": (
            "An output that holds nothing.",
            MALFORMED,
            change("readers: [clinic]}", "readers: [clinic], max_bytes: 0}"),
        ),
        "totp_kind_fail": (
            "A second factor that no device can hold.",
            CONTENT,
            service("totp: root") + f"secrets: {{{ROOT}}}\n",
        ),
        "identity_without_authority_fail": (
            "A certificate that nobody issues.", CONTENT, service("identity: true")
        ),
    }
)  # fmt: skip


def files() -> dict[str, bytes]:
    """Every published file, by its path below this folder."""
    found = {}
    for name, (reason, text) in VALID.items():
        policy = parse_policy(text.encode())
        found[f"{name}/README.md"] = f"# {name}\n\n{reason}\n".encode()
        found[f"{name}/policy.yaml"] = text.encode()
        found[f"{name}/policy.json"] = canonical_json(policy.to_json())
        found[f"{name}/expected.json"] = _json({"digest": policy.digest})
    for name, (reason, code, text) in FLAWS.items():
        found[f"{name}/README.md"] = f"# {name}\n\n{reason}\n".encode()
        found[f"{name}/policy.yaml"] = text.encode()
        found[f"{name}/expected.json"] = _json({"error": code})
    return found


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


if __name__ == "__main__":
    for path, data in files().items():
        (HERE / path).parent.mkdir(exist_ok=True)
        (HERE / path).write_bytes(data)

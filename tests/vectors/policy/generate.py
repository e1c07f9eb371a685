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
    outputs: [{{readers: [clinic, lab], at: /out/model, name: model}}]
    inputs:
      - {{asset: ann/records, tag: "{TAG}", at: /in/records}}
      - {{asset: lab/code, tag: "{TAG}", at: /in/code}}
    timeout_s: 600
    network: none
    workdir: /in/code
    environment: {{GREETING: "two\\nlines", EPOCHS: "3"}}
    command: ["/usr/bin/python3", '/in/code/train.py', --fast]
    attestation:
      - {{family: tdx, simulated: true, measurements: {{mrtd: ["{MRTD}"]}}}}
      - family: tdx
        simulated: false
        measurements: {{rtmr0: ["{MRTD}", "{"22" * 48}"], mrtd: ["{MRTD}"]}}
        tcb_statuses: [UpToDate, SWHardeningNeeded]
        min_tcb_evaluation_number: 17
purpose: screening
predecessor: "{TAG}"
name: train
schema: accord.policy.v1
"""

VALID: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "defaults": ("Fields left out have their defaults in the canonical form.", SHORT),
        "every_field": ("Order, style and comments do not matter.", FULL),
    }
)


def change(old: str, new: str) -> str:
    if SHORT.count(old) != 1:
        raise ValueError(old)
    return SHORT.replace(old, new)


SYNTAX, CONTENT = "accord-POL-001", "accord-POL-002"
MALFORMED, FORMAT = "accord-ENC-001", "accord-ENC-004"

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

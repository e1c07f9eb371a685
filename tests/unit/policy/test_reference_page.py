# SPDX-License-Identifier: Apache-2.0
"""docs/reference/policy.md names every field and every finding; its examples are real."""

import re
from pathlib import Path
from typing import Any

import pytest
from tests.docs._console import Fence, fences

from accord.policy import lint, parse_policy, policy_schema

ROOT = Path(__file__).parents[3]
PAGES = {name: ROOT / "docs" / "reference" / f"{name}.md" for name in ("policy", "secrets")}
EXAMPLES = [fence for page in PAGES.values() for fence in fences(page)]
SCHEMA = policy_schema()

SECRETS = ("secret", "export", "importing-service", "exporting-service")


def described(name: str) -> set[str]:
    fields: dict[str, Any] = SCHEMA["$defs"][name].get("properties", {})
    return set(fields)


def listed(page: str) -> set[str]:
    """Every name that stands in code by itself."""
    return set(re.findall(r"`([a-z][a-z0-9_-]*)`", PAGES[page].read_text()))


def words(page: str) -> set[str]:
    """Every name that stands in code with others."""
    code = re.findall(r"`([^`\n]+)`", PAGES[page].read_text())
    return set(re.findall(r"[a-z][a-z0-9_]*", " ".join(code)))


@pytest.mark.parametrize("fence", EXAMPLES, ids=lambda fence: fence.where)
def test_examples_are_policies(fence: Fence) -> None:
    """And lint finds no error in them."""
    policy = parse_policy(fence.body.encode())

    assert [item for item in lint(policy) if item.severity == "error"] == []


def test_every_field_is_on_its_page_and_in_an_example() -> None:
    """Of the policy and of every document within it."""
    shown = "".join(fence.body for fence in EXAMPLES)
    of_secrets = set().union(
        *(described(name) for name in SCHEMA["$defs"] if name.startswith(SECRETS))
    )
    others = set().union(
        SCHEMA["properties"],
        *(described(name) for name in SCHEMA["$defs"] if not name.startswith(SECRETS)),
    )

    assert others - listed("policy") == set()
    assert of_secrets - words("secrets") == set()
    assert [name for name in sorted(others) if not re.search(rf"\b{name}:", shown)] == []


def test_every_finding_is_on_the_page() -> None:
    """With its code, and no code that does not exist."""
    source = "".join(path.read_text() for path in (ROOT / "src/accord/policy").glob("_lint*.py"))
    codes = set(re.findall(r"(?:error|warning|note|make)\(\s*\"([a-z-]+)\"", source))
    codes |= {"lock-out", "unsatisfiable-rule", "unknown-role", "unknown-member"}
    rows = re.findall(
        r"^\| (?:error|warning|note) \| `([a-z-]+)` \|", PAGES["policy"].read_text(), re.MULTILINE
    )

    assert sorted(rows) == sorted(codes)

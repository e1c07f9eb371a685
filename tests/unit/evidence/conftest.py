# SPDX-License-Identifier: Apache-2.0
"""The maker of vectors, for tests that change one more thing."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

GENERATOR = Path(__file__).parents[2] / "vectors" / "evidence" / "generate.py"


def load_generator() -> ModuleType:
    """The generator as a module, loaded once."""
    name = "accord_evidence_vectors"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, GENERATOR)
        if spec is None or spec.loader is None:
            raise RuntimeError(GENERATOR)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def generate() -> Any:
    """The module that makes the vectors."""
    return load_generator()


@pytest.fixture(scope="session")
def maker(generate: Any) -> Any:
    """Its vendor and platform."""
    return generate.Maker()


@pytest.fixture(scope="session")
def good(maker: Any) -> Any:
    """The vector in which everything is right."""
    return next(maker.good())

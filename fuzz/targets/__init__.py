# SPDX-License-Identifier: Apache-2.0
"""One target per parser. Whatever the bytes, only errors of the catalogue may come out.

Every module here has a mapping ``TARGETS`` of names to functions of bytes.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module


def _collect() -> dict[str, Callable[[bytes], object]]:
    found: dict[str, Callable[[bytes], object]] = {}
    for module in pkgutil.iter_modules(__path__):
        for name, target in import_module(f"fuzz.targets.{module.name}").TARGETS.items():
            if name in found:
                message = f"two targets are called {name}"
                raise ValueError(message)
            found[name] = target
    return found


TARGETS = _collect()

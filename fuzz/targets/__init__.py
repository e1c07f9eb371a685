# SPDX-License-Identifier: Apache-2.0
"""One target per parser. Whatever the bytes, only errors of the catalogue may come out.

Every module here has a mapping ``TARGETS`` of names to functions of bytes.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module

TARGETS: dict[str, Callable[[bytes], object]] = {
    name: target
    for module in pkgutil.iter_modules(__path__)
    for name, target in import_module(f"fuzz.targets.{module.name}").TARGETS.items()
}

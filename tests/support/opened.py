# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin that writes down which recorded files the tests opened."""

import os
import sys
from pathlib import Path
from typing import Any

from tests.support.recorded import EVIDENCE

_OPENED: set[str] = set()
_PREFIX = f"{EVIDENCE}{os.sep}"


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(_PREFIX):
        _OPENED.add(arguments[0].removeprefix(_PREFIX))


sys.addaudithook(_heard)


def pytest_sessionfinish() -> None:
    Path(os.environ["ACCORD_OPENED"]).write_text("\n".join(sorted(_OPENED)))

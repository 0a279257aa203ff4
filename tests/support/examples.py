"""The examples, and what tests of them have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from support.engines import EVERY
from support.servers import Served
from support.waiting import until

EXAMPLES = Path(__file__).parents[2] / "examples"
Run = Callable[..., Served]
everywhere = pytest.mark.parametrize("engine_kind", EVERY, indirect=True)


def finished(address: str, deadline: float = 30) -> dict[str, Any]:
    """Wait for a job to be done; its document."""
    return until(lambda: (job := requests.get(address).json())["done"] and job, deadline)

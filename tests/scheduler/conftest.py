from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scheduler.world import World, open_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A store with one transform and a scheduler that has done nothing yet."""
    with open_world(tmp_path) as made:
        made.add_transform()
        yield made

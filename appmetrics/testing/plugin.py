"""The pytest plugin: the ``metrics`` fixture, and what changed when its test fails.

Loaded by every pytest run where appmetrics is installed, whether it is used or
not: before a test asks for the fixture it changes nothing and starts nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .changes import Capture

_CAPTURE: pytest.StashKey[Capture] = pytest.StashKey()


@pytest.fixture
def metrics(request: pytest.FixtureRequest) -> Iterator[Capture]:
    """What changed in the process' metrics since the test began.

    ``metrics.value("shop.orders", shop="de") == 1``; see
    ``appmetrics.testing.Capture``. A rejected update raises in the test.
    """
    from .changes import capture

    with capture() as captured:
        request.node.stash[_CAPTURE] = captured
        yield captured


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, Any, None]:
    """Add what changed to the report of a test that failed with the fixture."""
    outcome = yield
    if call.when == "call" and call.excinfo is not None and _CAPTURE in item.stash:
        report = outcome.get_result()
        if report.failed:
            title = "appmetrics: changed in this test"
            report.sections.append((title, item.stash[_CAPTURE].report()))

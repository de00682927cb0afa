"""The pytest plugin, in test runs of its own."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points

import pytest

pytest_plugins = ["pytester"]

Run = Callable[[str], pytest.RunResult]

_numbers = itertools.count()


def installed() -> bool:
    """Whether pytest finds the plugin by itself."""
    return any(point.name == "appmetrics" for point in entry_points(group="pytest11"))


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Run a test file with the plugin; NAME in it is a name that is used once."""

    def run(source: str) -> pytest.RunResult:
        pytester.makepyfile(source.replace("NAME", f"plugin{next(_numbers)}"))
        plugin = () if installed() else ("-p", "appmetrics.testing.plugin")
        return pytester.runpytest_inprocess(*plugin, "-p", "no:cacheprovider", "-p", "no:xdist")

    return run


def test_the_fixture_measures_since_the_test_began(run: Run) -> None:
    """Each test sees its own changes only; gauges and states read as now."""
    run(
        """
        import appmetrics
        meter = appmetrics.get_meter("NAME")
        orders = meter.counter("orders", labels=("shop",))
        depth = meter.gauge("depth")

        def test_one(metrics):
            orders.labels("de").inc(2)
            depth.inc()
            assert metrics.value("NAME.orders", shop="de") == 2

        def test_two(metrics):
            assert metrics.value("NAME.orders", shop="de") == 0
            assert metrics.value("NAME.depth") == 1
            orders.labels("de").inc()
            meter.event("deploy")
            assert metrics.value("NAME.orders", shop="de") == 1
            assert metrics.value("NAME.deploy") == 1
        """
    ).assert_outcomes(passed=2)


def test_a_rejected_update_fails_the_test(run: Run) -> None:
    """The value is named where the application records it."""
    result = run(
        """
        import appmetrics

        def test_it(metrics):
            appmetrics.get_meter("NAME").counter("orders").inc(-1)
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*RejectedValue: plugin*.orders: a counter needs*-1*"])


def test_a_failure_shows_what_changed(run: Run) -> None:
    """A section of its own lists each change of the failed test."""
    result = run(
        """
        import appmetrics
        meter = appmetrics.get_meter("NAME")

        def test_it(metrics):
            meter.counter("orders", labels=("shop",)).labels("fr").inc()
            meter.event("deploy", "1.4.2")
            assert metrics.value("NAME.orders", shop="de") == 1
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E * assert 0 == 1",
            "*appmetrics: changed in this test*",
            "plugin*.orders{shop='fr'}  counter +1, now 1",
            "plugin*.deploy * event 1.4.2",
        ]
    )


def test_an_unknown_name_is_explained_in_the_failure(run: Run) -> None:
    """Near matches stand in the error."""
    result = run(
        """
        import appmetrics
        meter = appmetrics.get_meter("NAME")

        def test_it(metrics):
            meter.counter("orders").inc()
            assert metrics.value("NAME.order") == 1
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *UnknownMetric: there is no metric *did you mean*orders*"])


def test_others_reports_stay_as_they_are(run: Run) -> None:
    """No section for tests that pass or don't use the fixture."""
    result = run(
        """
        import appmetrics

        def test_fails_without():
            assert False

        def test_passes_with(metrics):
            appmetrics.get_meter("NAME").counter("orders").inc()
        """
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.no_fnmatch_line("*changed in this test*")


def test_a_project_can_have_a_fixture_of_the_same_name(run: Run) -> None:
    """A project's own ``metrics`` wins, and its failures are left alone."""
    result = run(
        """
        import pytest

        @pytest.fixture
        def metrics():
            return "mine"

        def test_it(metrics):
            assert metrics == "mine"
            assert False
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*changed in this test*")


def test_the_plugin_alone_disturbs_nobody() -> None:
    """Without a test that uses it, no third-party package but pytest is imported."""
    code = (
        "import sys, pytest; before = set(sys.modules)\n"
        "import appmetrics.testing.plugin, threading\n"
        "new = {name.partition('.')[0] for name in sys.modules.keys() - before}\n"
        "print(sorted(new - sys.stdlib_module_names), threading.active_count())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['appmetrics'] 1"


def test_the_kit_needs_no_pytest() -> None:
    """capture, World and ManualClock are for every test runner."""
    code = "import sys, appmetrics.testing; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

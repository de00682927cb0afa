"""How to test what your own code counts: ``pytest testing_your_code.py``."""

import pytest

import appmetrics
from appmetrics.testing import capture

# -- your code -----------------------------------------------------------------

meter = appmetrics.get_meter("checkout")
orders = meter.counter("orders", "Orders placed", labels=("country",))
amounts = meter.histogram("amount", "Worth of an order", unit="euros")


@meter.timed("charge")
@meter.count_exceptions("charge.errors")
def charge(euros):
    """Refuses what can't be charged."""
    if euros <= 0:
        raise ValueError("nothing to charge")


def place_order(country, euros):
    """Count an order when it has been charged."""
    charge(euros)
    orders.labels(country).inc()
    amounts.observe(euros)


# -- your tests ----------------------------------------------------------------


def test_an_order_is_counted(metrics):
    """The fixture ``metrics`` comes with appmetrics, and tells what this test has changed."""
    place_order("de", 20)
    place_order("fr", 5)
    assert metrics.value("checkout.orders") == 2
    assert metrics.value("checkout.orders", country="de") == 1
    assert metrics.distribution("checkout.amount").sum == 25


def test_a_refused_charge_is_no_order(metrics):
    """A counter that didn't move is 0."""
    with pytest.raises(ValueError, match="nothing to charge"):
        place_order("de", 0)
    assert metrics.value("checkout.charge.errors") == 1
    assert metrics.value("checkout.charge") == 1
    assert metrics.value("checkout.orders") == 0


def test_without_the_fixture():
    """The same as a context manager, for unittest and for parts of a test."""
    place_order("de", 1)
    with capture() as captured:
        place_order("pl", 3)
    assert captured.value("checkout.orders") == 1
    assert captured.names() == ["checkout.amount", "checkout.charge", "checkout.orders"]

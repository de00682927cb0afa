"""The views; Zope's part (times, conflicts, errors) is measured without a line in here."""

import transaction
from Products.Five.browser import BrowserView

import appmetrics

meter = appmetrics.get_meter("shop")
placed = meter.counter("orders", "Orders placed", labels=("country",))
prices = meter.timer("prices", "Time to work out the prices")


class Orders(BrowserView):
    """How many orders there are."""

    def __call__(self):
        return f"{getattr(self.context, 'placed_orders', 0)} orders\n"


class Order(BrowserView):
    """Places an order."""

    @prices.time()
    def price(self):
        """What it costs."""
        return 42

    def __call__(self):
        self.context.placed_orders = getattr(self.context, "placed_orders", 0) + 1
        country = self.request.get("country", "")[:2] or "-"
        # Two at once are a conflict, and Zope tries one of them again: what is counted in
        # here is counted again, too. An order is placed when it has been committed.
        transaction.get().addAfterCommitHook(count, (country,))
        return f"That is {self.price()} euros.\n"


def count(committed, country):
    """Counts an order that has been placed."""
    if committed:
        placed.labels(country).inc()

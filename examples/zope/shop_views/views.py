"""The views; Zope's part (times, conflicts, errors) is measured without a line in here."""

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
        # Two at once are a conflict: Zope tries one of them again.
        self.context.placed_orders = getattr(self.context, "placed_orders", 0) + 1
        placed.labels(self.request.get("country", "")[:2] or "-").inc()
        return f"That is {self.price()} euros.\n"

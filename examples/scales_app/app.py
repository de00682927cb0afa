"""An application that keeps its stats with plain scales and knows nothing of appmetrics."""

import sys
import time

from greplin import scales


class Mailer:
    """Sends mails, more or less."""

    sent = scales.IntStat("sent")
    refused = scales.IntDictStat("refused")
    duration = scales.PmfStat("duration")

    def __init__(self):
        scales.init(self, "mailer")

    def send(self, number):
        """Every fifth mail is refused."""
        with self.duration.time():
            time.sleep(0.01)
        if number % 5 == 0:
            self.refused["full"] += 1
        else:
            self.sent += 1


if __name__ == "__main__":
    mailer = Mailer()
    for number in range(1, int(sys.argv[1]) + 1 if len(sys.argv) > 1 else 1000):
        mailer.send(number)

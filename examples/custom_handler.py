"""A handler of one's own: a JSON object in a Unix datagram for each number, each round."""

import socket

from appmetrics import Handler
from appmetrics.formatters import JsonFormatter
from appmetrics.options import Option, path


class UnixHandler(Handler):
    """Sends to the Unix datagram socket of a local agent."""

    OPTIONS = (Option("path", path, help="The agent's socket."),)

    def __init__(self, *, path, **common):
        super().__init__(**common)
        self.path = path
        self.formatter = self.formatter or JsonFormatter()

    def emit(self, samples):
        """Runs in a thread of its own; what it raises is counted, and logged once."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as agent:
            agent.settimeout(5)
            for sample in samples:
                agent.sendto(self.formatter.format(sample).encode(), self.path)

    def target(self):
        """Where the numbers go, for log lines and ``appmetrics explain``."""
        return self.path

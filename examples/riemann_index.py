"""What a Riemann knows: ``python riemann_index.py HOST:PORT 'service =~ "shop %"'``."""

from __future__ import annotations

import sys

from appmetrics.riemann import Client


def main(address: str, query: str) -> None:
    """Print a line for each event of the index that the query finds."""
    host, _, port = address.rpartition(":")
    with Client(host, int(port)) as riemann:
        for event in sorted(riemann.query(query), key=lambda each: each[:2]):
            print(event.host, event.service, event.state or "-", event.metric, sep="\t")


if __name__ == "__main__":
    main(*sys.argv[1:])

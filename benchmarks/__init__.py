"""How fast: our operations beside an empty method call and prometheus_client's."""

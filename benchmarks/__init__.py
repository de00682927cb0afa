"""How fast and how small: our operations beside an empty method call and those of others.

``python -m benchmarks`` runs all groups, ``python -m benchmarks GROUP ...`` some of them,
``python -m benchmarks compare REV [REV]`` two commits. A group is a module with a function
``figures``; see ``harness`` for what it may use, ``budgets`` for what is promised.
"""

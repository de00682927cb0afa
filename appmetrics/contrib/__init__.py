"""Web frameworks: one module for each, which imports that framework and nothing else foreign.

Nothing of appmetrics imports these modules; an application, or an entry point, does.
"""

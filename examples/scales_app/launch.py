"""Runs an application that knows nothing of appmetrics: ``python launch.py app.py``."""

import runpy
import sys

import appmetrics

appmetrics.configure("metrics.ini")
appmetrics.start()
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")

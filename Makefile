# Everything runs in .venv, which is made on first use from nothing but python3
# with pip and venv, and brought up to date when setup.cfg changes.
# Other interpreter: make test PYTHON=python3.12. More for pytest: make test ARGS="-k carbon -x".

PYTHON ?= python3
ARGS ?=
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready

.PHONY: help venv demo test prove fuzz bench coverage lint style types contracts format docs clean

help:
	@echo "make demo      a small web shop with traffic, its /metrics and a carbon, until Ctrl-C"
	@echo "make test      all tests; those without their real server are skipped, and listed"
	@echo "make prove     the long and the real, at full length: every real server is needed"
	@echo "make fuzz      every parser, for a minute each, with atheris"
	@echo "make bench     how fast and how small, beside others and against the budgets"
	@echo "make coverage  the tests again, with branch coverage"
	@echo "make lint      ruff, mypy --strict, the import contracts"
	@echo "make format    let ruff format the code"
	@echo "make docs      the documentation, in docs/_build/html"
	@echo "make clean     remove all that make and the tools have made"

venv: $(READY)

# The servers from PyPI (carbon, Chromium's driver) are no condition for the rest.
$(READY): setup.cfg pyproject.toml
	@$(RUN) -c "import pip" 2>/dev/null || { \
		echo "making $(VENV) with $(PYTHON)"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "installing what setup.cfg lists into $(VENV) (a minute, the first time)"
	@$(RUN) -m pip install --quiet --editable ".[dev,servers]" \
		|| { echo "!! the extra 'servers' does not install here: without it, those tests are skipped"; \
		$(RUN) -m pip install --quiet --editable ".[dev]"; }
	@$(RUN) -m pip install --quiet --editable ".[uwsgi]" >/dev/null 2>&1 \
		|| echo "!! uwsgi does not build here (it needs a C compiler): its tests are skipped"
	@$(RUN) -m pip install --quiet --editable ".[zope]" >/dev/null 2>&1 \
		|| echo "!! Zope does not install here: its tests are skipped"
	@touch $@

demo: $(READY)
	@$(RUN) -m appmetrics demo $(ARGS)

test: $(READY)
	$(RUN) -m pytest -n auto $(ARGS)

prove: export APPMETRICS_REQUIRE_SERVERS = 1
prove: export APPMETRICS_PROVE = 1
prove: $(READY)
	$(RUN) -m pytest -m "server or slow" --durations=20 -o faulthandler_timeout=900 $(ARGS)

fuzz: $(READY)
	@$(RUN) -m pip install --quiet atheris
	cd tests && ../$(RUN) -m fuzz $(ARGS)

bench: $(READY)
	@$(RUN) -m pip install --quiet --editable ".[bench]" \
		|| echo "!! the extra 'bench' does not install here: without it, peers are left out"
	$(RUN) -m benchmarks $(ARGS)

coverage: $(READY)
	$(RUN) -m coverage erase
	$(RUN) -m coverage run -m pytest -n auto $(ARGS)
	$(RUN) -m coverage combine --quiet
	$(RUN) -m coverage report

lint: style types contracts

style: $(READY)
	$(RUN) -m ruff check --output-format concise .
	$(RUN) -m ruff format --check .

types: $(READY)
	$(RUN) -m mypy

contracts: $(READY)
	$(VENV)/bin/lint-imports

format: $(READY)
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

docs: $(READY)
	$(RUN) -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

clean:
	rm -rf $(VENV) .tox build dist docs/_build htmlcov .coverage .coverage.* \
		.grimp_cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache ./*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

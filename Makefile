# Thin on purpose: each line calls the Python that holds the logic.
.PHONY: quickstart test test-faults fuzz bench lint stack-images
PY := .venv/bin/python

quickstart: .venv/.stamp      ## from a fresh machine to a running cluster that can be changed
	@$(PY) -m starter.prerequisites && .venv/bin/mpg up --detach && $(PY) -m starter.quickstart

test: .venv/.browser          ## every test, two files at a time; `make test ARGS="-k settings"` narrows it
	@$(PY) -m starter.prerequisites && $(PY) -m pytest -n 2 --dist loadfile $(ARGS)

test-faults: .venv/.stamp     ## the whole kill matrix, on a Docker engine of its own; hours. `ARGS="--cases 1000"`
	@$(PY) -m starter.prerequisites && $(PY) -m tests.faults.engine $(PY) -m tests.faults --lanes 2 $(ARGS)
	@$(PY) -m pytest -m faults

fuzz: .venv/.stamp            ## 100,000 random requests to one process of the API; half an hour. `ARGS="--count 1000"`
	@$(PY) -m starter.prerequisites && $(PY) -m tests.fuzz $(ARGS)

stack-images: .venv/.stamp    ## images of docker-compose.yml where no registry answers; `make -s stack-images > .env`
	@$(PY) -m starter.prerequisites.stack_images

bench: .venv/.stamp           ## the numbers in README
	@$(PY) -m starter.prerequisites && $(PY) -m bench $(ARGS)

lint: .venv/.browser          ## formatting, lint, strict types, and what may import what
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m pyright && .venv/bin/lint-imports --no-logo --no-cache

# Exactly what constraints.txt pins, checked by hash; the stamp makes a second run cost nothing.
.venv/.stamp: constraints.txt pyproject.toml
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3-venv; }
	@[ -x $(PY) ] || python3 -m venv .venv
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# What drives the browser of tests/browser, for tests and their types only; Chromium itself those tests install.
.venv/.browser: constraints-browser.txt .venv/.stamp
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints-browser.txt
	@touch $@

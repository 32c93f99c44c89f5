# make run: a made-up hospital, indexed and asked.  make serve: in a browser.  make test: every check.
# Needs Python 3.11+ and pip; the web pages need Node 20+ with npm, too.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
WORKERS ?= 2

# All but totalsegmentator, which has constraints of its own: constraints/totalsegmentator.txt.
EXTRAS := clinical convert deid dose export kafka pacs pandas pixels polars segment web

UI := src/dicomlake/web/static/index.html
UI_SOURCES := $(shell find ui -path ui/node_modules -prune -o -type f -not -name '*.py' -print)

.PHONY: run serve test ui bench segment lock clean

run: .venv/ready ui
	$(BIN)/dicomlake demo hospital
	@echo 'See it in a browser:  make serve, then open 127.0.0.1:8080 there'

serve: .venv/ready ui
	test -d hospital/lake || $(BIN)/dicomlake demo hospital
	$(BIN)/dicomlake serve --lake hospital/lake

# The web application; without npm the service says at / that it is not built.
ui:
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(UI); \
	else echo 'npm is missing (Node 20 or newer brings it): the service runs without its web pages.'; fi

$(UI): $(UI_SOURCES)
	cd ui && npm ci --silent && npm run --silent build

test: .venv/ready ui
	if command -v npm >/dev/null; then cd ui && npm run --silent test; fi
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

bench: .venv/ready
	$(BIN)/python -m bench

.venv/ready: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dicomlake needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# An environment of its own for TotalSegmentator (2.6 GB), and what else trains; tests use it where it is there.
segment: .venv-segment/ready

.venv-segment/ready: constraints/totalsegmentator.txt
	$(PYTHON) -m venv --clear .venv-segment
	.venv-segment/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	.venv-segment/bin/python -m pip install --quiet --disable-pip-version-check --no-deps monai==1.6.1
	touch $@

lock:
	uv pip compile pyproject.toml --group dev $(EXTRAS:%=--extra %) --universal --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header --quiet --output-file requirements.lock

clean:
	rm -rf .venv .venv-segment hospital lake ui/node_modules src/dicomlake/web/static

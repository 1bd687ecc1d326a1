# `make demo` and `make test` need some Python and make; they fetch the rest.

# A uv that answers and knows the flags used below; else one of our own in .tools.
UV     := $(shell uv sync --no-default-groups --help >/dev/null 2>&1 && echo uv || echo .tools/bin/uv)
PYTHON := $(shell for p in python3 /usr/bin/python3 python; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 8))' >/dev/null 2>&1 && { echo $$p; break; }; done)
NEED   := $(filter .tools/%,$(UV))

# .python-version names the Python that is tested first. Where it is not installed and
# another that pyproject.toml allows is, that one serves, rather than a download.
FOUND   = $(shell $(UV) python find --no-python-downloads $$(cat .python-version) >/dev/null 2>&1 || $(UV) python find --no-python-downloads --system '>=3.12' 2>/dev/null)
# Each target installs what it runs, so that the demo waits for no linter: `uv run`
# adds to an environment and removes nothing.
RUN     = $(addprefix UV_PYTHON=,$(FOUND)) $(UV) run --frozen --no-default-groups

# Many processes start here, and each would compile what it imports, some 5,000 files, where
# the environment forbids Python to keep what it compiles. Empty counts as not set.
export PYTHONDONTWRITEBYTECODE =

# Two processes, each file of tests in one of them: fixtures are shared within a file.
TESTS   = --group test pytest -n 2 --dist loadfile --durations=40

.PHONY: demo test check docs linkcheck format fuzz slow long results

demo: $(NEED)
	$(RUN) bayes-rare demo --output demo-output

test: $(NEED)
	$(RUN) $(TESTS) -m "not slow and not long and not outside"

check: $(NEED)
	$(RUN) --group test --group lint ruff check
	$(RUN) --group test --group lint ruff format --check
	$(RUN) --group test --group lint pyright
	$(RUN) --group test --group lint lint-imports --no-logo
	$(RUN) $(TESTS)

# The fuzz tests of `make check` with many more examples: EXAMPLES of each kind.
EXAMPLES = 20000
fuzz: $(NEED)
	BAYES_RARE_FUZZ=$(EXAMPLES) $(RUN) $(TESTS) tests/fuzz

slow: $(NEED)
	$(RUN) $(TESTS) -m slow

long: $(NEED)
	$(RUN) --group engine $(TESTS) -m long

docs: $(NEED)
	$(RUN) --group docs sphinx-build -j 2 -W --keep-going -b html docs docs/_build/html

linkcheck: $(NEED)
	$(RUN) --group docs sphinx-build -b linkcheck docs docs/_build/linkcheck

# docs/whole_table.md, made again: TABLE has exact risks and families, COUNTS counts, and
# ALSO names finished backtests. Without TABLE the sample data. What is done is kept.
FOLDER  = .cache/results
results: $(NEED)
	$(RUN) python benchmarks/whole_table.py $(TABLE) --folder $(FOLDER) $(addprefix --counts ,$(COUNTS)) $(if $(ALSO),--also $(ALSO))

format: $(NEED)
	$(RUN) --group lint ruff check --fix
	$(RUN) --group lint ruff format

# With the venv module; without it, with pip alone.
.tools/bin/uv:
	@test -n "$(PYTHON)" || { echo "make: install some Python 3.8 or newer, or uv, first" >&2; exit 1; }
	rm -rf .tools
	{ $(PYTHON) -m venv .tools && .tools/bin/python -m pip install -q uv; } >/dev/null 2>&1 \
	|| { rm -rf .tools; $(PYTHON) -m pip install -q --target .tools uv; } \
	|| { rm -rf .tools; echo "make: uv could not be installed; see https://docs.astral.sh/uv/ for other ways" >&2; exit 1; }

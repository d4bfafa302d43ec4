# Everything here needs only Python >= 3.11, make and git; the rest is fetched, pinned by hash, into .venv.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
BIN := .venv/bin
PIP = $(BIN)/python -m pip install --disable-pip-version-check
# On a terminal pip shows what it does; in a log its hundred lines would hide the rest, and none would look like a hang.
briefly = if test -t 1; then $(1); else $(1) | { count=0; while read -r word what; do case $$word in \
	Collecting) count=$$((count + 1)); ((count % 20)) || echo "pip: $$count packages …";; \
	Installing) echo "pip: installing the packages …";; esac; done; }; fi
KEEP ?=
BENCH ?=
FUZZ ?=
MUTANTS ?=
HISTORIES ?=
PERTURBATIONS ?=
CHAOS ?=
PROPERTIES ?=
CLIENTS ?=
BASE ?=
RELEASE ?=

.PHONY: help
help: ## Show this list
	@bold= plain=; if test -t 1; then bold='\033[1m' plain='\033[0m'; fi; \
	awk -v bold="$$bold" -v plain="$$plain" \
	  'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %s%-14s%s %s\n", bold, $$1, plain, $$2}' $(MAKEFILE_LIST)

.venv/.installed: requirements.txt pyproject.toml
	@echo "Setting up .venv: pip installs the packages of requirements.txt, which takes a minute the first time, and ten on a busy machine …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -m venv .venv
	@$(call briefly,$(PIP) --require-hashes -r requirements.txt)
	@$(call briefly,$(PIP) --no-deps --no-build-isolation -e .)
	@touch $@
	@echo ".venv is complete"

.PHONY: setup
setup: .venv/.installed ## Make .venv from the hash-pinned requirements.txt

.PHONY: demo
demo: setup ## Run work through a real API server and the emulator; KEEP=1 keeps it running
	@$(BIN)/python -m demo $(if $(KEEP),--keep)

.PHONY: demo-down
demo-down: setup ## Stop a demo that KEEP=1 kept running
	@$(BIN)/python -m demo --down

.PHONY: cluster
cluster: setup ## Start the local control plane in the background (kubeconfig: .localcluster/kubeconfig)
	@$(BIN)/python -m localcluster up

.PHONY: cluster-down
cluster-down: setup ## Stop the local control plane
	@$(BIN)/python -m localcluster down

.PHONY: test
test: lint crds-check docs unit quick conformance e2e chaos ## Run everything that CI runs

.PHONY: tests
tests: test

# Without a rule, make takes a folder for a target that is up to date, and succeeds without doing anything.
FOLDERS = benchmarks dev emulator gitops helm kubectl manifests operator requirements schemas
.PHONY: $(FOLDERS)
$(FOLDERS):
	@echo "There is no target $@: 'make help' lists the targets" >&2; exit 2

.PHONY: unit
unit: setup ## Run the unit tests, which start no processes
	@$(BIN)/python -m pytest tests/unit tests/model -n 2

.PHONY: quick
quick: setup ## Run the whole operator on virtual time, with an API server in memory and the emulator in the same process
	@PYTHONHASHSEED=0 $(BIN)/python -m pytest tests/quick tests/histories tests/perturbations tests/properties -n 2

.PHONY: histories
histories: setup ## Run random histories on the quick stage, and check them; HISTORIES="--seed 7 --count 20", "--seconds 3600"
	@$(BIN)/python tests/histories $(HISTORIES)

.PHONY: perturbations
perturbations: setup ## Kill the operator or disturb its views at every point of every scenario; PERTURBATIONS="--scenario job-life"
	@$(BIN)/python tests/perturbations $(PERTURBATIONS)

.PHONY: properties
properties: setup ## Set, change and unset every property of every kind; PROPERTIES="--kind bp --path spec.startTask"
	@$(BIN)/python tests/properties $(PROPERTIES)

.PHONY: conformance
conformance: setup ## Test the wire format with our client and the official one against the emulator
	@$(BIN)/python -m pytest tests/conformance

.PHONY: e2e
e2e: setup ## Run the operator with its RBAC on a real control plane, against the emulator
	@$(BIN)/python -m localcluster build
	@$(BIN)/python -m pytest tests/e2e -n 2 --dist loadfile

.PHONY: chaos
chaos: setup ## Kill, disconnect and throttle on a real control plane; CHAOS="--seconds 3600 --seed 1" makes thousands of runs on virtual time
ifeq ($(CHAOS),)
	@$(BIN)/python -m localcluster build
	@$(BIN)/python -m pytest tests/chaos -n 2 --dist loadfile
else
	@$(BIN)/python tests/chaos $(CHAOS)
endif

.PHONY: fuzz
fuzz: setup ## Make 20,000 random calls of all operations to the emulator; FUZZ="--seed 2 --requests 300" makes 300 others
	@$(BIN)/python tests/fuzz $(FUZZ)

.PHONY: mutants
mutants: setup ## Put bugs into a copy of the operator, one at a time: a test must notice each; MUTANTS="name …" selects some
	@$(BIN)/python -m tests.mutants $(MUTANTS)

.PHONY: clients
clients: setup ## Run official clients in several languages and versions against the emulator; CLIENTS="go java" selects some
	@$(BIN)/python tests/clients $(CLIENTS)

.PHONY: bench
bench: setup ## Run the benchmarks; BENCH="add_tasks …" selects some
	@$(BIN)/python tests/benchmarks $(BENCH)

.PHONY: bench-check
bench-check: setup ## Fail if a counted figure is worse than its baseline: calls, writes, memory, ratios of CPU time
	@BENCH_TASKS=1000 BENCH_POOLS=60 $(BIN)/python tests/benchmarks tasks_10k at_rest accounts --check

.PHONY: lint
lint: setup ## Run ruff, mypy --strict, the import rules and the check of words
	@$(BIN)/ruff format --check . || { echo "Run 'make format'" >&2; exit 1; }
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m wording

.PHONY: format
format: setup ## Format and fix the code with ruff
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: crds
crds: setup ## Write generated files: crds/, schemas/, and parts of helm/, manifests/ and docs/
	@$(BIN)/python -m artifacts

.PHONY: crds-check
crds-check: setup
	@$(BIN)/python -m artifacts --check

.PHONY: docs
docs: setup ## Build the documentation site in site/, and check its links
	@env NO_MKDOCS_2_WARNING=1 $(BIN)/python -W ignore -m mkdocs build --strict --quiet --clean
	@echo "site/index.html"

.PHONY: sbom
sbom: setup ## Write the contents of the images to dist/ (CycloneDX)
	@mkdir -p dist
	@for each in operator emulator; do \
	  $(BIN)/cyclonedx-py requirements requirements/$$each.txt --pyproject pyproject.toml --output-reproducible \
	    --output-format JSON --output-file dist/sbom-$$each.cdx.json 2>/dev/null || exit 1; \
	done; ls dist/sbom-*

.PHONY: image
image: setup ## Build the container images, and run that of the operator once; BASE=image@digest, RELEASE=1 requires the digest
	@$(BIN)/python -m image $(if $(BASE),--base $(BASE)) $(if $(RELEASE),--release)

.PHONY: krew
krew: setup ## Build the plugin of kubectl for krew: its archive, and its manifest with the checksum, in dist/
	@$(BIN)/python -m krew

UV_LOCK = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
  --custom-compile-command "make lock" pyproject.toml

.PHONY: lock
lock: ## Pin all dependencies by hash again (needs uv on PATH)
	@$(UV_LOCK) --extra emulator --extra kubectl --extra tracing --group dev -o requirements.txt
	@$(UV_LOCK) --extra tracing -c requirements.txt -o requirements/operator.txt
	@$(UV_LOCK) --extra kubectl -c requirements.txt -o requirements/kubectl.txt
	@for each in emulator-image:emulator build:build; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	    --custom-compile-command "make lock" --group $${each%:*} -c requirements.txt -o requirements/$${each#*:}.txt; \
	done

# Every target sets up what it needs first; all of them can be run again at any time.
.DEFAULT_GOAL := help
.PHONY: help setup demo run test test-all test-appliance test-install image lint bench clean

service := scripts/as-service

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install and compile what is missing (Debian packages, PJSIP, Python packages, native devices)
	@scripts/setup

demo: setup ## bridge a real SIP call into a real meeting on this machine and show what arrived
	@$(service) python -m tests.demo

run: setup ## start the gateway and leave it running (CONFIG=file, else with the embedded meeting)
	@$(service) python -m scripts.run $(if $(CONFIG),--config $(CONFIG))

test: setup lint ## lint, then all tests but the slow ones
	@$(service) scripts/run-tests -m "not slow" $(ARGS)

test-all: setup lint ## lint, then all tests but those of the appliance's image
	@scripts/build-pjproject --sanitized >/dev/null
	@$(service) scripts/run-tests -m "not appliance" $(ARGS)

test-appliance: setup ## as root: build the image and try it in virtual machines (an hour and more without KVM)
	@tests/appliance/run $(ARGS)

test-install: setup ## as root: try scripts/install in booted containers of Debian 12 and 13, with an upgrade and a way back
	@scripts/test-install $(ARGS)

image: setup ## as root: build the appliance's disk image (build/image)
	@scripts/build-image

lint: setup ## check style, types, the architecture's arrows, C and shell
	@scripts/lint

bench: setup ## measure latency, frame rates, CPU; rivals in turn with us
	@scripts/build-pjproject --stock >/dev/null
	@$(service) python -m tests.bench

clean: ## remove what was built in this checkout (caches stay)
	rm -rf build .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . \( -name '*.so' -o -name '_*.key' \) -not -path './.git/*' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

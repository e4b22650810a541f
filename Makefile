# Two commands: `make demo` shows the whole way once, `make test` proves it.
PYTHON ?= python3

.PHONY: demo demo-stop test bench fuzz fmt lint

demo:
	@$(PYTHON) lab/demo.py $(if $(filter-out 0,$(KEEP)),--keep)

demo-stop:
	@$(PYTHON) lab/demo.py --stop

test:
	@$(PYTHON) lab/test.py $(if $(ONLY),--only $(ONLY))

bench:
	cargo bench --locked -q -p airgate-identity --bench verify
	cargo bench --locked -q -p airgate-gateway --bench flood

fuzz:
	@$(PYTHON) lab/fuzz.py $(if $(ONLY),--only $(ONLY)) $(if $(SECONDS),--seconds $(SECONDS))

fmt:
	cargo fmt --all

lint:
	cargo clippy --workspace --all-targets -- -D warnings

# The commands of a checkout. `sudo make demo` is the first one to run; all prepare what they need by themselves.

.PHONY: help demo install uninstall test fuzz bench bench-quick bench-docs lint format doctor install-system venv clean

PYTHON := .venv/bin/python

help:
	@echo "sudo make demo            record real programs and show what was seen"
	@echo "sudo make install         install for the whole host, to /opt/datacrumbs; PREFIX=DIR for another place"
	@echo "sudo make uninstall       remove it again, with what datacrumbs_setup made; PREFIX=DIR likewise"
	@echo "sudo make test [ARGS=..]  set up and run the whole test suite"
	@echo "make fuzz [ARGS=..]       feed what strangers' bytes reach for hours; ARGS=\"--inputs 1000 yaml\" for less"
	@echo "sudo make bench           measure, beside other tracers; bench-quick takes less time and is rough"
	@echo "make bench-docs           write docs/benchmarks.md from the figures of the last bench"
	@echo "make lint                 ruff, mypy, the contract, clang-format, clang-tidy, cppcheck, shellcheck"
	@echo "make format               rewrite Python and C in the house format"
	@echo "make doctor               what this host can and cannot do"
	@echo "sudo make install-system  system packages, kernel headers and mounts only"
	@echo "make venv                 the virtual environment only"
	@echo "make clean                remove what was built, the environment included"

demo:
	@scripts/set-up.sh demo
	@$(PYTHON) scripts/demo.py $(ARGS)

install:
	@PREFIX=$(PREFIX) scripts/set-up.sh install

uninstall:
	@PREFIX=$(PREFIX) scripts/set-up.sh uninstall

test:
	@scripts/set-up.sh test
	@scripts/run-tests.sh $(ARGS)

fuzz:
	@scripts/set-up.sh fuzz
	@$(PYTHON) tests/fuzz/long_run.py $(ARGS)

bench:
	@scripts/set-up.sh bench
	@$(PYTHON) bench/run.py $(ARGS)

bench-quick:
	@scripts/set-up.sh bench
	@$(PYTHON) bench/run.py --quick $(ARGS)

bench-docs:
	@scripts/set-up.sh venv
	@$(PYTHON) bench/document.py

lint:
	@scripts/set-up.sh lint
	@scripts/lint.sh

format:
	@scripts/set-up.sh lint
	@.venv/bin/ruff format .
	@git ls-files '*.c' '*.h' | xargs clang-format -i

doctor:
	@scripts/set-up.sh venv
	@.venv/bin/datacrumbs_doctor $(ARGS)

install-system:
	@scripts/set-up.sh system

venv:
	@scripts/set-up.sh venv

clean:
	rm -rf .venv .demo .cache build dist ./*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf providers/*/build providers/*/dist providers/*/src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# make demo   install into .venv, make the tutor from the handbook, ask it three questions
# make test   install into .venv, run every test
# make check  the linters and the type checker

SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
TORCH ?= torch==2.13.0
WORKERS ?= 2
BIN := .venv/bin

.PHONY: demo test check install clean
.DEFAULT_GOAL := demo

install: .venv/installed

.venv/installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[tutor]'
	@touch $@

.venv/tools: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	$(BIN)/danlu model pull smollm2-135m-instruct
	@touch $@

demo: .venv/installed
	$(BIN)/danlu run recipes/tutor.yaml
	$(BIN)/danlu chat recipes/tutor.yaml \
		--ask '什麼是 LoRA？' --ask '量化之後要怎麼確認模型沒有壞掉？' --ask '明天台北會下雨嗎？'
	@echo
	@echo 'The report:     store/runs/tutor/report.html'
	@echo 'The chat page:  $(BIN)/danlu serve recipes/tutor.yaml   then open http://127.0.0.1:8000'

test: .venv/tools
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

check: .venv/tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv store

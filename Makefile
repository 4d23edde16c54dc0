# Everything from a fresh clone: needs make, and Python 3.11 or newer with its venv module. `make` lists the targets.
#
# Portable make only. Stamps in $(VENV) say what is installed, so that a second call starts at once.

.POSIX:
.SUFFIXES:

PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check install -qq -c constraints.txt
TRF_BIN = $(VENV)-transformers/bin
TRF_PIP = $(TRF_BIN)/python -m pip --disable-pip-version-check install -qq -c constraints.txt
TOPICS_BIN = $(VENV)-topics/bin
TOPICS_PIP = $(TOPICS_BIN)/python -m pip --disable-pip-version-check install -qq -c constraints.txt
CORPUS_BIN = $(VENV)-corpus/bin
CORPUS_PIP = $(CORPUS_BIN)/python -m pip --disable-pip-version-check install -qq -c constraints.txt
GPU_BIN = $(VENV)-gpu/bin
GPU_PIP = $(GPU_BIN)/python -m pip --disable-pip-version-check install -qq -c constraints.txt
PYTEST_ARGS =
# One more than there are cores here: tests wait for servers and for processes that they start.
JOBS = 3
BENCH_ARGS =

help:
	@echo 'make demo                 static, ELMo and BERT vectors on example sentences'
	@echo 'make demo TEXT="..."      the same on your own English text'
	@echo 'make demo FILE=path       the same on a UTF-8 text file'
	@echo 'make demo ELMO=folder     with the ELMo model of that folder, archive or name'
	@echo 'make test                 lint, types, and all tests; PYTEST_ARGS="..." goes to pytest'
	@echo 'make test JOBS=0          with the tests in one process, as a debugger wants it'
	@echo 'make lint | types | unit  one part of it: ruff and pydoclint, mypy, or pytest'
	@echo 'make test-allennlp        ELMo against AllenNLP, in an environment of its own that it builds first (minutes)'
	@echo 'make test-transformers    TransformerOutput.v1 on spacy-transformers, in an environment of its own (minutes)'
	@echo 'make test-topics          BERTopic and KeyBERT on our vectors, in an environment of its own (minutes)'
	@echo 'make test-corpus          exports on Ray, and read by Polars, DuckDB and datasets, in an environment of its own (minutes)'
	@echo 'make test-gpu             all that needs a CUDA GPU, in an environment of its own (minutes); fails without one'
	@echo 'make docs                 build the site into site/; warnings and dead links are errors'
	@echo 'make format               let ruff format the code'
	@echo 'make bench                the benchmarks; BENCH_ARGS="..." goes to benchmarks/run.py'
	@echo 'make bench-gpu            the benchmark on a CUDA GPU, in the environment of make test-gpu'
	@echo 'make sdist | wheel        build into dist/'
	@echo 'make clean                remove the environments, build outputs and caches'
	@echo 'PYTHON=python3.12         on any of them: the Python to make $(VENV) with. Write a dollar sign as $$$$.'

# TEXT, FILE and ELMO reach the recipe through the environment, so that quotes in them stay as they are.
demo: $(VENV)/stamp-demo
	@set --; \
	if [ -n "$${TEXT+set}" ]; then set -- "$$@" --text="$$TEXT"; fi; \
	if [ -n "$${FILE+set}" ]; then set -- "$$@" --file="$$FILE"; fi; \
	if [ -n "$${ELMO:+set}" ]; then set -- "$$@" --elmo="$$ELMO"; fi; \
	$(BIN)/python -m demo "$$@"

test: lint types unit

lint: $(VENV)/stamp-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pydoclint spacy_ctx_embed demo

types: $(VENV)/stamp-test
	$(BIN)/mypy

unit: $(VENV)/stamp-test
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal --nbmake $(PYTEST_ARGS)

test-allennlp: $(VENV)/stamp-test
	$(BIN)/python -m pytest -m allennlp tests/reference $(PYTEST_ARGS)

test-transformers: $(VENV)-transformers/stamp
	$(TRF_BIN)/python -m pytest tests/tok2vec/transformer_output $(PYTEST_ARGS)

test-topics: $(VENV)-topics/stamp
	$(TOPICS_BIN)/python -m pytest tests/test_recipes.py $(PYTEST_ARGS)

test-corpus: $(VENV)-corpus/stamp
	$(CORPUS_BIN)/python -m pytest tests/export/test_on_ray.py tests/export/test_readers.py $(PYTEST_ARGS)

# The driver is asked first, so that nothing is installed in vain.
test-gpu:
	@$(PYTHON) tests/gpu/machine.py driver
	@$(MAKE) $(VENV)-gpu/stamp
	@$(GPU_BIN)/python tests/gpu/machine.py
	$(GPU_BIN)/python -m pytest -m gpu tests/gpu $(PYTEST_ARGS)

# The site into site/: warnings are errors, and so are dead links. The pages made from the code are made first.
docs: $(VENV)/stamp-docs
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	$(BIN)/python docs/check_links.py site

format: $(VENV)/stamp-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/stamp-test
	$(BIN)/python benchmarks/run.py $(BENCH_ARGS)

bench-gpu:
	@$(PYTHON) tests/gpu/machine.py driver
	@$(MAKE) $(VENV)-gpu/stamp
	@$(GPU_BIN)/python tests/gpu/machine.py
	$(GPU_BIN)/python benchmarks/bench_gpu.py $(BENCH_ARGS)

sdist: $(VENV)/stamp-test
	$(BIN)/python -m build --sdist

wheel: $(VENV)/stamp-test
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) $(VENV)-corpus $(VENV)-gpu $(VENV)-topics $(VENV)-transformers build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/stamp-python:
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "Needs Python 3.11 or newer with its venv module; '$(PYTHON)' is not that. Name one: make PYTHON=python3.12" >&2; \
	exit 1; }
	@echo 'Making the virtual environment $(VENV) ...'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# PyTorch alone and first, at the version of constraints.txt: nothing later then asks for another build of it.
$(VENV)/stamp-torch: $(VENV)/stamp-python constraints.txt
	@echo 'Installing PyTorch; this can take some minutes ...'
	@$(PIP) torch
	@touch $@

$(VENV)/stamp-demo: $(VENV)/stamp-torch setup.cfg
	@echo 'Installing spacy_ctx_embed and what it needs ...'
	@$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/stamp-docs: $(VENV)/stamp-test
	@echo 'Installing what builds the site ...'
	@$(PIP) -e '.[docs]'
	@touch $@

$(VENV)/stamp-test: $(VENV)/stamp-torch setup.cfg
	@echo 'Installing spacy_ctx_embed with its test tools ...'
	@$(PIP) -e '.[test]'
	@touch $@ $(VENV)/stamp-demo

# An environment of its own: spacy-transformers asks for an older transformers than the other tests run with.
$(VENV)-transformers/stamp: $(VENV)/stamp-python setup.cfg constraints.txt
	@echo 'Making $(VENV)-transformers with spacy-transformers; this can take some minutes ...'
	@$(PYTHON) -m venv $(VENV)-transformers
	@$(TRF_PIP) torch
	@$(TRF_PIP) -e '.[models,transformers,curated]' 'transformers<4.54' 'hypothesis>=6.80' 'pytest>=7.4' pytest-xdist
	@touch $@

# An environment of its own: PyTorch as PyPI has it, which is a CUDA build on Linux, and the CuPy of the same CUDA.
$(VENV)-gpu/stamp: $(VENV)/stamp-python setup.cfg constraints.txt
	@echo 'Making $(VENV)-gpu with PyTorch for CUDA and CuPy; this can take some minutes ...'
	@$(PYTHON) -m venv $(VENV)-gpu
	@$(GPU_PIP) torch
	@$(GPU_PIP) -e '.[models,peft]' 'hypothesis>=6.80' 'pytest>=7.4' rich
	@$(GPU_PIP) "$$($(GPU_BIN)/python tests/gpu/machine.py cupy)"
	@touch $@

# An environment of its own: BERTopic brings UMAP, HDBSCAN, Numba and Plotly, which nothing else here needs.
$(VENV)-topics/stamp: $(VENV)/stamp-python setup.cfg constraints.txt
	@echo 'Making $(VENV)-topics with BERTopic and KeyBERT; this can take some minutes ...'
	@$(PYTHON) -m venv $(VENV)-topics
	@$(TOPICS_PIP) torch
	@$(TOPICS_PIP) -e '.[models]' 'bertopic>=0.17' 'keybert>=0.9' 'sentence-transformers>=5' 'pytest>=7.4'
	@touch $@

# An environment of its own: Ray, Polars, DuckDB and datasets are large, and only these tests need them.
$(VENV)-corpus/stamp: $(VENV)/stamp-python setup.cfg constraints.txt
	@echo 'Making $(VENV)-corpus with Ray, Polars, DuckDB and datasets; this can take some minutes ...'
	@$(PYTHON) -m venv $(VENV)-corpus
	@$(CORPUS_PIP) torch
	@$(CORPUS_PIP) -e '.[models,ray,usearch]' 'datasets>=2.16' 'duckdb>=1.1' 'pandas>=2' 'polars>=1.9' 'hypothesis>=6.80' 'pytest>=7.4'
	@touch $@

.PHONY: help demo docs test lint types unit test-allennlp test-corpus test-gpu test-topics test-transformers format bench bench-gpu sdist wheel clean

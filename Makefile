# Each target sets up what it needs; run again, it starts at once.
VENV ?= .venv
PYTHON ?= python3
# What the rungs of `kerafer verify` run on; each is fetched into a folder of its own, without root, nothing installed.
TOOLS := $(CURDIR)/.cache
RUNGS := swiftshader lavapipe old_runtime mediapipe browser arm64
MARKED ?= not exhaustive
RUN = KERAFER_TOOLS=$(TOOLS) $(VENV)/bin/

.PHONY: help demo test test-all quick lint results verify verify-tools android android-test web web-test others bench notebooks fuzz docs wheel clean $(RUNGS)

help:
	@echo "make demo         set up, recognise a face, export EAN, verify the files"
	@echo "make test         set up, then lint, the documentation and the tests"
	@echo "make test-all     those that make test leaves out, too: more cases of what it tests"
	@echo "make quick        only the fast tests"
	@echo "make results      measure the README's tables again (DATA=\"fer2013:PATH ferplus:PATH\")"
	@echo "make verify       run every model and recipe on every rung: results/verify.csv (long)"
	@echo "make android-test compile the Kotlin library and compare its numbers with Python's"
	@echo "make web          build the browser's page with EAN into build/site"
	@echo "make web-test     hold the page against Python in a browser; pictures of it go to build/web"
	@echo "make bench        measure speed and memory beside other packages: results/speed.csv"
	@echo "make notebooks    run every notebook and keep what it draws"
	@echo "make fuzz         feed 100,000 damaged files to every reader: results/fuzz.csv"
	@echo "make docs         build the documentation's site into build/docs"
	@echo "make wheel        build the wheel and try it in a clean environment (PYTHONS=\"python3.12 python3.13\")"
	@echo "make verify-tools fetch what the rungs need: $(RUNGS)"

$(VENV)/ready: setup.py pyproject.toml tools/setup.sh
	tools/setup.sh $(VENV) $(PYTHON)
	@touch $@

$(filter-out arm64,$(RUNGS)):
	@tools/$@.sh $(TOOLS)/$@

# the emulated LiteRT must be the version that is installed here
arm64: $(VENV)/ready
	@tools/arm64.sh $(TOOLS)/arm64 $$($(VENV)/bin/python -c 'import importlib.metadata as m; print(m.version("ai-edge-litert"))')

verify-tools: $(RUNGS)

android:
	@tools/android.sh $(TOOLS)/android

android-test: $(VENV)/ready android swiftshader
	android_export/test.sh $(TOOLS) $(VENV)/bin/python

web: $(VENV)/ready browser
	rm -rf build/site build/ean-bundle
	$(VENV)/bin/kerafer export ean --weights fer2013 --out build/ean-bundle
	$(VENV)/bin/python web/build.py build/ean-bundle --litert $(TOOLS)/browser/node_modules/@litertjs --out build/site

web-test: $(VENV)/ready browser
	KERAFER_REQUIRE_RUNGS=1 $(RUN)python -m pytest tests/test_web.py

verify: $(VENV)/ready verify-tools
	$(RUN)python benchmarks/verify_zoo.py

demo: $(VENV)/ready
	@$(MAKE) --no-print-directory -j 2 swiftshader lavapipe || echo "going on without Vulkan devices: GPU runs are left out"
	@$(MAKE) --no-print-directory demo-run

demo-run:
	$(RUN)kerafer demo --out demo

test: $(VENV)/ready
	@$(MAKE) --no-print-directory -j 3 verify-tools android
	@$(MAKE) --no-print-directory test-run

test-run: lint docs
	KERAFER_REQUIRE_RUNGS=1 $(RUN)python -m pytest -n auto --maxprocesses 4 --durations=15 -m "$(MARKED)"

test-all:
	@$(MAKE) --no-print-directory test MARKED=

quick: $(VENV)/ready
	$(RUN)python -m pytest -n auto --maxprocesses 4 -m "not slow and not exhaustive"

lint: $(VENV)/ready
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

results: $(VENV)/ready
	$(RUN)python benchmarks/run_all.py --data $(DATA)

others:
	@tools/others.sh $(TOOLS)/others $(PYTHON)

bench: $(VENV)/ready others
	$(VENV)/bin/python benchmarks/speed.py --fer $(TOOLS)/others/fer/bin/python --deepface $(TOOLS)/others/deepface/bin/python
	$(VENV)/bin/python benchmarks/readme.py

$(VENV)/notebooks: $(VENV)/ready
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -e '.[notebooks]'
	@touch $@

notebooks: $(VENV)/notebooks swiftshader lavapipe
	$(RUN)python notebooks/run.py

$(VENV)/fuzz: $(VENV)/ready
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	@touch $@

fuzz: $(VENV)/fuzz
	$(VENV)/bin/python fuzz/run.py --inputs $(or $(INPUTS),100000)

# a virtual environment of its own: nothing of it is needed to run kerafer
.venv-docs/ready: tools/docs_requirements.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install --quiet --disable-pip-version-check -r tools/docs_requirements.txt
	@touch $@

docs: .venv-docs/ready
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

wheel:
	tools/try_wheel.sh build/wheel $(or $(PYTHONS),$(PYTHON))

clean:
	rm -rf $(VENV) .venv-docs .cache demo build *.egg-info

# Each target sets up what it needs; run again, it starts at once.
VENV ?= .venv
PYTHON ?= python3
SWIFTSHADER := $(CURDIR)/.cache/swiftshader
# A software Vulkan device, where one was fetched; a real one is used where its driver is installed and this is empty.
VULKAN = $(if $(wildcard $(SWIFTSHADER)/ready),env LD_LIBRARY_PATH=$(SWIFTSHADER)/lib$(if $(LD_LIBRARY_PATH),:$(LD_LIBRARY_PATH)) VK_ICD_FILENAMES=$(SWIFTSHADER)/lib/vk_swiftshader_icd.json)
RUN = $(VULKAN) $(VENV)/bin/

.PHONY: help demo test quick lint results swiftshader clean

help:
	@echo "make demo         set up, recognise a face, export EAN, verify the files"
	@echo "make test         set up, then lint and all tests"
	@echo "make quick        only the fast tests"
	@echo "make results      measure the README's tables again (DATA=fer2013:PATH)"
	@echo "make swiftshader  fetch a software Vulkan device for the GPU checks"

$(VENV)/ready: setup.py pyproject.toml tools/setup.sh
	tools/setup.sh $(VENV) $(PYTHON)
	@touch $@

swiftshader:
	@tools/swiftshader.sh $(SWIFTSHADER)

demo: $(VENV)/ready
	@$(MAKE) --no-print-directory swiftshader || echo "going on without a Vulkan device: the GPU run will be left out"
	@$(MAKE) --no-print-directory demo-run

demo-run:
	$(RUN)kerafer demo --out demo

test: $(VENV)/ready swiftshader
	@$(MAKE) --no-print-directory test-run

test-run: lint
	KERAFER_REQUIRE_GPU=1 $(RUN)python -m pytest

quick: $(VENV)/ready
	$(RUN)python -m pytest -m "not slow"

lint: $(VENV)/ready
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

results: $(VENV)/ready
	$(RUN)python benchmarks/run_all.py --data $(DATA)

clean:
	rm -rf $(VENV) .cache demo build *.egg-info

# Each target sets up what it needs; run again, it starts at once.
VENV ?= .venv
PYTHON ?= python3
SWIFTSHADER := $(CURDIR)/.cache/swiftshader
LAVAPIPE := $(CURDIR)/.cache/lavapipe
# A software Vulkan device, where one was fetched; a real one is used where its driver is installed and this is empty.
VULKAN = $(if $(wildcard $(SWIFTSHADER)/ready),env LD_LIBRARY_PATH=$(SWIFTSHADER)/lib$(if $(LD_LIBRARY_PATH),:$(LD_LIBRARY_PATH)) VK_ICD_FILENAMES=$(SWIFTSHADER)/lib/vk_swiftshader_icd.json)
# Another one for the runs in float16, which the one above cannot compute.
FLOAT16 = $(if $(wildcard $(LAVAPIPE)/ready),env KERAFER_FP16_DEVICE=$(LAVAPIPE))
RUN = $(VULKAN) $(FLOAT16) $(VENV)/bin/

.PHONY: help demo test quick lint results swiftshader lavapipe clean

help:
	@echo "make demo         set up, recognise a face, export EAN, verify the files"
	@echo "make test         set up, then lint and all tests"
	@echo "make quick        only the fast tests"
	@echo "make results      measure the README's tables again (DATA=fer2013:PATH)"
	@echo "make swiftshader  fetch a software Vulkan device for the GPU checks"
	@echo "make lavapipe     fetch another that computes in float16, for the blocks' tests"

$(VENV)/ready: setup.py pyproject.toml tools/setup.sh
	tools/setup.sh $(VENV) $(PYTHON)
	@touch $@

swiftshader:
	@tools/swiftshader.sh $(SWIFTSHADER)

lavapipe:
	@tools/lavapipe.sh $(LAVAPIPE)

demo: $(VENV)/ready
	@$(MAKE) --no-print-directory swiftshader || echo "going on without a Vulkan device: the GPU run will be left out"
	@$(MAKE) --no-print-directory demo-run

demo-run:
	$(RUN)kerafer demo --out demo

test: $(VENV)/ready swiftshader lavapipe
	@$(MAKE) --no-print-directory test-run

test-run: lint
	KERAFER_REQUIRE_GPU=1 $(RUN)python -m pytest -n 2

quick: $(VENV)/ready
	$(RUN)python -m pytest -n 2 -m "not slow"

lint: $(VENV)/ready
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

results: $(VENV)/ready
	$(RUN)python benchmarks/run_all.py --data $(DATA)

clean:
	rm -rf $(VENV) .cache demo build *.egg-info

# SPDX-License-Identifier: Apache-2.0
# Thin: meson does the work. `make demo` and `make test` each work alone on a fresh Debian.
BUILD ?= build
PREFIX ?= /usr/local

.PHONY: all demo test bench install clean format

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@tools/need build
	@meson setup $(BUILD) --prefix=$(PREFIX)

demo:
	@tools/need build demo
	@$(MAKE) --no-print-directory all
	@lab/demo

test:
	@tools/need build test
	@tests/run

bench:
	@tools/need build test bench
	@$(MAKE) --no-print-directory all
	@[ -d $(BUILD)/tests ] || meson setup --reconfigure $(BUILD)
	@meson configure $(BUILD) -Dmeasuring=true
	@ninja -C $(BUILD)
	@tests/bench/run $(BENCH)

install: all
	@meson install -C $(BUILD)

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	@rm -rf $(BUILD) $(BUILD)-asan

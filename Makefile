# SPDX-License-Identifier: GPL-2.0-only

ifneq ($(KERNELRELEASE),)

obj-$(CONFIG_NVME_VFIO_PCI) += nvme-vfio-pci.o

nvme-vfio-pci-y := \
	admission.o	\
	buf.o		\
	cdq.o		\
	cmdsets.o	\
	debugfs.o	\
	dirty.o		\
	dirty_bitmap.o	\
	exec.o		\
	fence.o		\
	ident.o		\
	layout.o	\
	log.o		\
	log_ring.o	\
	main.o		\
	match.o		\
	migf.o		\
	mmc.o		\
	nvme_pf.o	\
	nvme_pf_cmds.o	\
	nvme_pf_log.o	\
	nvme_pf_vs.o	\
	probe.o		\
	refusal.o	\
	search.o	\
	states.o	\
	stats.o		\
	stream.o	\
	tp4159.o	\
	trace.o		\
	track.o		\
	vendor.o	\
	vf.o		\
	wire.o

obj-$(CONFIG_NVME_VFIO_PCI_KUNIT_TEST) += nvme-vfio-pci-test.o

nvme-vfio-pci-test-y := \
	admission_test.o	\
	dirty_bitmap_test.o	\
	log_ring_test.o		\
	match_test.o		\
	mmc_test.o		\
	nvme_pf_log_test.o	\
	nvme_pf_test.o		\
	nvme_pf_vs_test.o	\
	stream_test.o		\
	track_test.o		\
	wire_test.o

# Older kernels get the names of newer ones
ccflags-y += -include $(src)/compat.h

# define_trace.h includes trace.h from here
CFLAGS_trace.o := -I$(src)

# The PF is reached through nvme's private header; out of tree nvme-header makes one
nvme-include := -I$(if $(NVME_HEADER),$(NVME_HEADER),$(srctree)/drivers/nvme)
CFLAGS_layout.o := $(nvme-include)
CFLAGS_nvme_pf.o := $(nvme-include)

# The nvme module that this was built for, where that is known
ifneq ($(NVME_SRCVERSION),)
CFLAGS_layout.o += -DNVMEVF_NVME_SRCVERSION=\"$(NVME_SRCVERSION)\"
endif

else

KVER ?= $(shell uname -r)
KDIR ?= /lib/modules/$(KVER)/build
NVME_MODULES ?= /lib/modules/$(KVER)/kernel/drivers/nvme/host

# drivers/nvme of the very source that the kernel was built from, if that has no BTF
NVME_SRC ?=

NVME_HEADER := $(CURDIR)/.nvme

.PHONY: help modules private-header tools clean demo demo-local bench check check-debug check-all fuzz fuzz-device soak vm appliance setup static htmldocs series check-series

help:
	@echo 'make demo          two virtual hosts migrate a VM to and fro (first run: about 30 min)'
	@echo 'make demo-local    the same with local disks: the disk is copied while the VM runs'
	@echo 'make check         the whole test suite, on the stock kernels'
	@echo 'make check-debug   tests of the driver on a debug kernel, with coverage'
	@echo 'make check-all     all of that, static checks, the Debian package and the series: what CI runs'
	@echo 'make fuzz          libFuzzer on files of the driver, T=SECONDS for each (default: 60)'
	@echo 'make fuzz-device   spoilt states and random commands for the emulated device in a QEMU with'
	@echo '                   sanitizers, N=NUMBER of them (default: 1000000, about an hour)'
	@echo 'make soak          N=NUMBER [SEED=SEED]: so many migrations of a VM between two virtual hosts,'
	@echo '                   and as many with a disturbance: what is lost, and what leaks (200: over an hour)'
	@echo '                   TIME=SECONDS [SEED=SEED]: random programs, checked against a model of the uAPI'
	@echo 'make bench         what the driver costs, beside what the device and the specification allow'
	@echo 'make vm            a shell in a virtual host with the emulated device'
	@echo 'make appliance     the virtual host in a directory, DIR=PATH, that runs on other machines;'
	@echo '                   KERNELS="stable lts": those that it has'
	@echo 'make modules       build the driver for KVER (default: the running kernel);'
	@echo '                   NVME_SRC=DIR: drivers/nvme of its source, if it has no BTF'
	@echo 'make tools         build nvme-lm-dump, which shows saved streams and controller states,'
	@echo '                   and nvme-lm-mirror, which copies namespaces to another host;'
	@echo '                   more in tools/Makefile: install, check, fuzz'
	@echo 'make static        checkpatch, sparse, W=1, kernel-doc, Sphinx and shellcheck'
	@echo 'make htmldocs      the documents, by Sphinx, in Documentation/output/html'
	@echo 'make series        series-out/: patches for the kernel and for QEMU, ready to post'
	@echo 'make check-series  the same, builds after each patch, and runs the tests on a kernel and a QEMU'
	@echo '                   with all of them (first run: about two hours)'
	@echo 'make clean         remove what "make modules" and "make tools" built'

modules: private-header
	$(MAKE) -C $(KDIR) M=$(CURDIR) CONFIG_NVME_VFIO_PCI=m NVME_HEADER=$(NVME_HEADER) \
		NVME_SRCVERSION=$$(modinfo -F srcversion $(firstword $(wildcard $(NVME_MODULES)/nvme.ko*)) 2>/dev/null) \
		$(KBUILD_ARGS) modules

# What is used of nvme's private header, for that kernel
private-header:
	@./nvme-header '$(KVER)' '$(KDIR)' '$(firstword $(wildcard $(NVME_MODULES)/nvme-core.ko*))' '$(NVME_HEADER)' '$(abspath $(NVME_SRC))'

tools:
	$(MAKE) -C tools all

clean:
	$(MAKE) -C $(KDIR) M=$(CURDIR) clean
	$(MAKE) -C tools clean
	rm -rf $(NVME_HEADER)

setup:
	@vm/setup

vm: setup
	@vm/shell

appliance:
	@vm/appliance/make $(or $(DIR),$(error which directory? make appliance DIR=PATH)) $(KERNELS)

demo: setup
	@vm/demo

demo-local: setup
	@vm/demo-local

check: setup
	@tests/run

check-debug: setup
	@tests/run --debug

check-all: setup
	@tests/run --all

fuzz:
	@tests/static/fuzz --seconds $(or $(T),60)

fuzz-device: setup
	@tests/device/sanitized $(or $(N),1000000)

bench: setup
	@tests/bench/bench

soak:
	@tests/soak/run '$(N)' '$(TIME)' '$(SEED)'

static: setup
	@tests/static/checks

htmldocs:
	@Documentation/build

series:
	@series/make

# KUnit, the kselftests and the driver's tests on a kernel built from the series, and the device's
# tests on a QEMU built from them
check-series:
	@series/make --build
	@tests/run --kernel posted driver,selftests
	@tests/device/newest

endif

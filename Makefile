# msb-init and msb-gateway.  `make help` lists the targets.
#
# Everything is built below $(O) (default: build) and nowhere else:
#	build/guest	what runs in the guest: musl, static
#	build/host	what runs on the host
#	build/test	unit tests and corpus runs: host compiler, ASan and UBSan
#	build/fuzz	libFuzzer programs: clang
#	build/coverage	unit tests that count what they reach: gcov
# `make O=DIR` builds elsewhere, `make V=1` shows commands, WERROR=1 (or
# CI=true) makes warnings errors.  The number of jobs is that of the CPUs
# unless -j says otherwise.

VERSION	:= 0.1.0
O	?= build
DL	?= build/dl
V	?= 0
PREFIX	?= /usr/local
MUSL_CC	?= musl-gcc
CLANG	?= clang
# Debian's python3-pytest and python3-scapy belong to this one
PYTHON	?= /usr/bin/python3
FUZZ_TIME ?= 30

SHELL	:= /bin/sh
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc)
endif
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:

ifeq ($(V),1)
Q	:=
say	= :
else
Q	:= @
say	= printf '  %-7s %s\n' $(1) '$(2)'
endif

G	:= $(O)/guest
H	:= $(O)/host
T	:= $(O)/test
F	:= $(O)/fuzz
C	:= $(O)/coverage

# --- sources -----------------------------------------------------------------

LIB_SRC		:= $(wildcard lib/*/*.c)
GATEWAY_SRC	:= $(wildcard gateway/*.c gateway/*/*.c)
GUEST_SRC	:= $(wildcard init/*.c agent/*.c) $(LIB_SRC)
HOST_SRC	:= $(GATEWAY_SRC) $(LIB_SRC)
# Tests bring their own main().  They link an archive, so that an object of
# theirs that defines what init/sys.c defines takes its place.
TESTED_SRC	:= $(filter-out gateway/main.c init/main.c, \
		     $(GATEWAY_SRC) $(GUEST_SRC))
UNIT_SRC	:= $(wildcard tests/unit/*.c)
FUZZ_SRC	:= $(wildcard tests/fuzz/*_fuzz.c)
FUZZERS		:= $(FUZZ_SRC:tests/fuzz/%_fuzz.c=%)
# The allowed system calls are comments beside the code that needs them
GEN		:= $(if $(wildcard gateway/seccomp.sh),$(O)/host/gen/stamp)
HDR		:= $(wildcard include/*/*.h agent/*.h init/*.h gateway/*.h \
		     gateway/*/*.h)

MSB_INIT	:= $(if $(wildcard init/main.c),$(G)/msb-init)
MSB_GATEWAY	:= $(if $(wildcard gateway/main.c),$(H)/msb-gateway)

# --- flags -------------------------------------------------------------------

WARN	:= -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wcast-align \
	   -Wswitch-enum -Wstrict-prototypes -Wmissing-prototypes \
	   -Wformat=2 -Wundef
ifneq ($(filter true 1,$(CI) $(WERROR)),)
WARN	+= -Werror
endif
BASE	:= -std=c11 -D_GNU_SOURCE -DMSB_VERSION=\"$(VERSION)\" -Iinclude -I.

GUEST_FLAGS	:= $(BASE) $(WARN) -isystem $(G)/include -Os -g \
		   -ffunction-sections -fdata-sections \
		   -fno-asynchronous-unwind-tables $(GUEST_CFLAGS)
GUEST_LDFLAGS	:= -static -Wl,--gc-sections -L$(G)/lib
GUEST_LIBS	:= -lcurl -lbearssl -lmnl

HOST_FLAGS	:= $(BASE) $(WARN) -I$(H)/gen -O2 -g -U_FORTIFY_SOURCE \
		   -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE \
		   $(CFLAGS)
HOST_LDFLAGS	:= -pie -Wl,-z,relro,-z,now $(LDFLAGS)
HOST_LIBS	:= -ljansson -lseccomp

SAN		:= -O1 -g -fno-omit-frame-pointer \
		   -fsanitize=address,undefined -fno-sanitize-recover=all
TEST_FLAGS	= $(BASE) $(WARN) -I$(H)/gen -isystem $(T)/include $(SAN) \
		   -DMSB_TEST $(CFLAGS)
TEST_LIBS	:= $(T)/libbearssl.a -lmnl -lcurl $(HOST_LIBS)
FUZZ_FLAGS	= $(BASE) $(WARN) -I$(H)/gen -isystem $(T)/include $(SAN) \
		   -DMSB_TEST -fsanitize=fuzzer-no-link \
		   -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION $(CFLAGS)
COV_FLAGS = $(BASE) -w -I$(H)/gen -isystem $(T)/include -O0 -g \
	    --coverage -fprofile-update=atomic -DMSB_TEST $(CFLAGS)

BENCH_TOOLS	:= $(O)/bench/nb $(O)/bench/bridge $(O)/bench/tapsock \
		   $(O)/bench/vufront $(O)/bench/vg_exec.so $(O)/bench/limits

# --- everyday targets --------------------------------------------------------

.PHONY: all run test check check-net check-vm lint format fuzz bench soak \
	soak-tcp soak-frames soak-flows valgrind coverage netem \
	mutate image install clean distclean help deps guest-deps peers FORCE
.DEFAULT_GOAL := all

all: $(MSB_INIT) $(MSB_GATEWAY)	## build msb-init and msb-gateway
	@:

help:				## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { \
		sub(/:.*/, "", $$1); printf "  %-12s %s\n", $$1, $$2 }' Makefile

run: all image $(O)/deps/vm		## boot a sandbox, show its network, give a shell
	$(Q)O='$(O)' sh rootfs/demo

# Each kind of test says how long it took, whether it passed or not
timed	= s=$$(date +%s); r=0; ( $(2) ) || r=$$?; \
	  echo "$(1): $$(($$(date +%s) - s)) s"; exit $$r

test: lint check check-net check-vm	## lint, check, check-net, check-vm
	@:

# In `make test -jN` the builds overlap and the runs stand one after another
ifneq ($(filter test,$(MAKECMDGOALS)),)
check: | lint
check-net: | check
check-vm: | check-net
endif

UNIT	:= $(if $(UNIT_SRC),$(T)/unit)
CORPUS	:= $(FUZZERS:%=$(T)/fuzz/%)

check: $(UNIT) $(CORPUS)	## unit tests and fuzz corpora, ASan and UBSan
	@$(call timed,check, \
		$(if $(UNIT),$(T)/unit,echo 'check: no tests') \
		$(foreach f,$(FUZZERS), \
			&& $(T)/fuzz/$(f) $(wildcard tests/fuzz/corpus/$(f)/*)))

# pytest's 5 is "no tests collected"
pytest	= d=tests/$(1); test -d $$d || { echo "$$d: no tests"; exit 0; }; \
	  r=0; MSB_BUILD='$(abspath $(O))' PYTHONDONTWRITEBYTECODE=1 \
	  $(2) $(PYTHON) -m pytest -q -p no:cacheprovider $$d $(3) || r=$$?; \
	  test $$r -ne 5 || { echo "$$d: no tests"; r=0; }; exit $$r
ROOTLY	:= $(if $(filter 0,$(shell id -u)),,unshare -Urnm)

# TCP over a bad link, by seeds; random frames: without sanitizers they are quick
# enough for many, and for valgrind
QUICK_SRC := $(wildcard lib/base/*.c gateway/stack/*.c gateway/wire/*.c \
	     gateway/relay/*.c gateway/policy/*.c tests/unit/tcp_*.c \
	     tests/unit/core_*.c) lib/link/link.c lib/link/fault.c \
	     lib/link/memlink.c tests/unit/main.c
$(O)/quick/tcp: $(QUICK_SRC) $(HDR) $(wildcard tests/unit/*.h) | $(O)/deps/test
	$(Q)mkdir -p $(@D); $(call say,CC,$@)
	$(Q)$(CC) $(BASE) $(WARN) -O2 -g -DMSB_TEST \
		-DTESTS='"tests/unit/quick.h"' -o $@ $(filter %.c,$^) -lcmocka

check-net: all $(O)/deps/test $(O)/quick/tcp $(BENCH_TOOLS)	## msb-init and msb-gateway in namespaces
	@TCP_SEEDS=2000 $(O)/quick/tcp tcp_random
	@$(call timed,check-net,$(call pytest,net,$(ROOTLY),$(PYTEST_ARGS)))

check-vm: all image $(O)/deps/test $(O)/deps/vm	## whole guests under QEMU
	@$(call timed,check-vm,$(call pytest,vm,,$(PYTEST_ARGS)))

# Not counted: branches of ASSERT, which no test can take
coverage: $(C)/unit $(O)/deps/soak	## what the unit tests reach of stack/, wire/, relay/
	@find $(C) -name '*.gcda' -delete
	@$(C)/unit >$(C)/log 2>&1 || { tail -n 40 $(C)/log; exit 1; }
	@gcovr -r . --object-directory $(C) $(COV_ONLY:%=--filter '%') \
		--exclude-lines-by-pattern '.*ASSERT\(.*' \
		--txt $(C)/lines.txt --csv $(C)/files.csv
	@awk -F, 'NR > 1 { printf "%-36s lines %5.1f %%  branches %5.1f %%\n", \
		$$1, 100 * $$4, 100 * $$7 }' $(C)/files.csv
	@echo "lines that no test reaches: $(C)/lines.txt"
COV_ONLY ?= gateway/stack/ gateway/wire/ gateway/relay/

lint: $(T)/libbearssl.a $(GEN) $(O)/deps/lint $(O)/deps/test	## style, layers, checkers
	@$(call timed,lint,O='$(O)' CC='$(CC)' PYTHON='$(PYTHON)' \
		sh tests/lint/lint.sh $(BASE) -I$(H)/gen \
		-isystem $(T)/include)

format: $(O)/deps/lint		## rewrite C files with clang-format
	clang-format -i --style=file:tests/lint/.clang-format $(wildcard $(HOST_SRC) $(GUEST_SRC) $(HDR) \
		$(UNIT_SRC) $(FUZZ_SRC))

fuzz: $(FUZZERS:%=$(F)/%)	## each fuzzer for FUZZ_TIME (30) seconds
	@$(foreach f,$(FUZZERS),echo 'fuzz: $(f)'; \
		mkdir -p $(F)/corpus/$(f) tests/fuzz/corpus/$(f); \
		$(F)/$(f) -max_total_time=$(FUZZ_TIME) -max_len=4096 \
			-timeout=5 -print_final_stats=1 -verbosity=0 \
			-artifact_prefix=$(F)/$(f)- $(F)/corpus/$(f) \
			tests/fuzz/corpus/$(f) || exit 1;)

bench: all $(O)/deps/bench $(BENCH_TOOLS) peers	## measure, side by side with the peers; BENCH=--help
# Today's passt and pasta, for two columns, where there is a network
peers: | $(O)/deps/build
	@sh tests/peers -d '$(DL)' '$(O)/peers' || \
		echo 'bench: no pasta-new, no passt-new'
soak-tcp: $(UNIT) $(O)/quick/tcp	## TCP: 200 000 seeds, 10 million random frames
	@TCP_SEEDS=200000 $(O)/quick/tcp tcp_random
	@TCP_FRAMES=10000000 $(UNIT) tcp_frames
soak-frames: $(UNIT)		## 10 million random frames through the whole gateway
	@CORE_FRAMES=10000000 $(UNIT) core_frames
VALGRIND := valgrind -q --error-exitcode=1 --exit-on-first-error=yes \
	    --leak-check=full --errors-for-leak-kinds=all \
	    --show-leak-kinds=all --suppressions=tests/unit/valgrind.supp
soak-flows: all $(O)/deps/test	## 65536 TCP flows, or what the descriptors allow
	@SCALE_SOAK=1 MSB_BUILD='$(abspath $(O))' PYTHONDONTWRITEBYTECODE=1 \
		$(ROOTLY) $(PYTHON) -m pytest -q -s -p no:cacheprovider \
		tests/net/test_scale.py -k soak
valgrind: $(O)/quick/tcp $(O)/deps/soak	## 100 000 random frames under valgrind
	@CORE_FRAMES=100000 $(VALGRIND) $(O)/quick/tcp core_frames
	@TCP_FRAMES=100000 $(VALGRIND) $(O)/quick/tcp tcp_frames
# It measures, so it has the machine for itself
ifneq ($(filter soak,$(MAKECMDGOALS)),)
netem: | soak-tcp soak-frames soak-flows valgrind
endif
netem: all image $(O)/deps/test $(O)/deps/vm	## ours beside pasta over loss and delay: a table
	@MSB_BUILD='$(abspath $(O))' PYTHONDONTWRITEBYTECODE=1 \
		$(PYTHON) tests/vm/netem.py $(ARGS)
soak: soak-tcp soak-frames soak-flows valgrind netem	## all of these, and 100 boots in a row; do any hang?
	@MSB_BUILD='$(abspath $(O))' PYTHONDONTWRITEBYTECODE=1 \
		$(PYTHON) tests/vm/soak.py $(ARGS)
mutate: all			## break the code on purpose; do tests notice?
bench mutate:
	@test -e tests/$@/__main__.py || { \
		echo '$@: tests/$@/__main__.py is missing' >&2; exit 1; }
	@MSB_BUILD='$(abspath $(O))' PYTHONDONTWRITEBYTECODE=1 $(ROOTLY) \
		$(PYTHON) tests/$@ $(ARGS) $(if $(filter bench,$@),$(BENCH))

clean:				## remove what was built, keep downloads
	$(Q)for f in '$(O)'/* ; do \
		test "$$f" = '$(DL)' || rm -rf "$$f"; done

distclean: clean		## remove downloads too
	$(Q)rm -rf '$(DL)'
	$(Q)rmdir '$(O)' 2>/dev/null || :

LIBEXEC	:= $(DESTDIR)$(PREFIX)/libexec/msb
install: all			## to DESTDIR/PREFIX
	$(Q)install -d $(DESTDIR)$(PREFIX)/bin $(LIBEXEC)/companion \
		$(DESTDIR)$(PREFIX)/share/man/man1 \
		$(DESTDIR)$(PREFIX)/share/man/man8
	$(Q)install -m 755 $(H)/msb-gateway $(DESTDIR)$(PREFIX)/bin
	$(Q)install -m 755 $(G)/msb-init rootfs/bake rootfs/run \
		rootfs/initramfs $(LIBEXEC)
	$(Q)install -m 644 rootfs/tree.sh $(LIBEXEC)
	$(Q)cp -R rootfs/companion/* $(LIBEXEC)/companion
	$(Q)$(foreach m,$(wildcard man/*.1 man/*.8),install -m 644 $(m) \
		$(DESTDIR)$(PREFIX)/share/man/man$(subst .,,$(suffix $(m)));)

# --- what the machine must have ----------------------------------------------

PKG_build := gcc make musl-tools libc6-dev libjansson-dev libseccomp-dev \
	     bzip2 xz-utils dpkg-dev cpio pkg-config linux-libc-dev
PKG_lint  := clang clang-tidy clang-format cppcheck
PKG_test  := libcmocka-dev libmnl-dev libcurl4-openssl-dev python3-pytest \
	     python3-scapy iproute2 iputils-ping curl socat bind9-dnsutils \
	     unbound openssl tcpdump ethtool procps iperf3 traceroute \
	     iputils-tracepath ngtcp2-client ngtcp2-server \
	     ca-certificates wget git strace
# python3 and openssl are for rootfs/demo
# and passt, ethtool for comparing with pasta under netem
PKG_vm    := qemu-system-x86 busybox-static e2fsprogs kmod python3 openssl \
	     passt iproute2 ethtool
PKG_soak  := valgrind gcovr
PKG_bench := iperf3 passt slirp4netns valgrind

# What the goals of this make need, so that whoever may not install is told once
SETS_all	:= build
SETS_install	:= build
SETS_guest-deps	:= build
SETS_run	:= build vm
SETS_image	:= build vm
SETS_check	:= build test
SETS_check-net	:= build test
SETS_soak-tcp	:= build test
SETS_soak-frames := build test
SETS_soak-flows	:= build test
SETS_valgrind	:= build test soak
SETS_coverage	:= build test soak
SETS_soak	:= build test vm soak
SETS_netem	:= build test vm
SETS_check-vm	:= build test vm
SETS_bench	:= build test vm bench
SETS_deps	:= build lint test vm soak bench
SETS	:= $(sort $(foreach g,$(or $(MAKECMDGOALS),all), \
	     $(or $(SETS_$(g)),build lint test vm)))

deps: $(foreach s,build lint test vm soak bench,$(O)/deps/$(s))	## install the Debian packages that all targets need
	@:

# The first says what all lack; apt-get runs once at a time
$(foreach s,lint test vm soak bench,$(O)/deps/$(s)): | $(O)/deps/build
$(O)/deps/%: rootfs/packages Makefile
	$(Q)mkdir -p $(@D)
	$(Q)ALL='$(foreach s,$(SETS),$(PKG_$(s)))' \
		sh rootfs/packages $* $(PKG_$*)
	$(Q)touch $@

# --- guest dependencies, kernel, images --------------------------------------

GUEST_DEPS	:= $(G)/deps.stamp

guest-deps: $(GUEST_DEPS)	## libmnl, BearSSL and curl for the guest
	@:

# curl as a tool comes with libcurl; the host's BearSSL is for tests of agent/
$(GUEST_DEPS): rootfs/deps | $(O)/deps/build
	$(Q)CC='$(MUSL_CC)' sh rootfs/deps -o '$(O)' -d '$(DL)' guest
	$(Q)touch $@
$(T)/libbearssl.a: rootfs/deps | $(O)/deps/build
	$(Q)HOSTCC='$(CC)' sh rootfs/deps -o '$(O)' -d '$(DL)' host
	$(Q)touch $@

image: $(O)/initramfs.cpio.gz $(O)/rootfs.ext4	## guest kernel, initramfs and ext4 image
	@:

$(O)/kernel/vmlinuz: rootfs/kernel | $(O)/deps/build $(O)/deps/vm
	$(Q)sh rootfs/kernel -d '$(DL)' '$(O)/kernel'
	$(Q)touch $@
$(O)/initramfs.cpio.gz: rootfs/initramfs rootfs/tree.sh \
		$(wildcard rootfs/files/*) \
		$(MSB_INIT) $(O)/kernel/vmlinuz $(GUEST_DEPS)
	$(Q)$(call say,INITRD,$@)
	$(Q)sh rootfs/initramfs -b '$(O)' $@
$(O)/rootfs.ext4: rootfs/image $(O)/initramfs.cpio.gz
	$(Q)$(call say,IMAGE,$@)
	$(Q)sh rootfs/image -b '$(O)' $@

# --- programs ----------------------------------------------------------------

# A file of flags for each kind of object changes only when the flags do
define flags_rule
$(1)/flags: FORCE
	$$(Q)mkdir -p $$(@D)
	$$(Q)printf '%s\n' '$(2)' | cmp -s - $$@ || printf '%s\n' '$(2)' >$$@
endef
$(eval $(call flags_rule,$(G)/obj,$(MUSL_CC) $(GUEST_FLAGS) $(GUEST_LDFLAGS)))
$(eval $(call flags_rule,$(H)/obj,$(CC) $(HOST_FLAGS) $(HOST_LDFLAGS) $(HOST_LIBS)))
$(eval $(call flags_rule,$(T)/obj,$(CC) $(TEST_FLAGS) $(TEST_LIBS)))
$(eval $(call flags_rule,$(C)/obj,$(CC) $(COV_FLAGS) $(TEST_LIBS)))
$(eval $(call flags_rule,$(F)/obj,$(CLANG) $(FUZZ_FLAGS) $(TEST_LIBS)))

GUEST_OBJ	:= $(GUEST_SRC:%.c=$(G)/obj/%.o)
HOST_OBJ	:= $(HOST_SRC:%.c=$(H)/obj/%.o)
TESTED_OBJ	:= $(TESTED_SRC:%.c=$(T)/obj/%.o)
FUZZED_OBJ	:= $(TESTED_SRC:%.c=$(F)/obj/%.o)
UNIT_OBJ	:= $(UNIT_SRC:%.c=$(T)/obj/%.o)
COV_OBJ		:= $(UNIT_SRC:%.c=$(C)/obj/%.o)
COVERED_OBJ	:= $(TESTED_SRC:%.c=$(C)/obj/%.o)

$(H)/gen/stamp: gateway/seccomp.sh $(HOST_SRC)
	$(Q)mkdir -p $(@D)
	$(Q)$(call say,GEN,$(H)/gen/seccomp_list.h)
	$(Q)new=$(@D)/new.$$$$; CC='$(CC)' sh gateway/seccomp.sh >$$new && \
	if cmp -s $$new $(@D)/seccomp_list.h; then rm -f $$new; \
	else mv $$new $(@D)/seccomp_list.h; fi
	$(Q)touch $@
# Without a rule of its own the header would be looked at before it is made
$(H)/gen/seccomp_list.h: $(GEN) ;

$(G)/obj/%.o: %.c $(G)/obj/flags | $(GUEST_DEPS)
	$(Q)mkdir -p $(@D); $(call say,MUSL,$<)
	$(Q)$(MUSL_CC) $(GUEST_FLAGS) -MMD -MP -c -o $@ $<
$(H)/obj/%.o: %.c $(H)/obj/flags | $(O)/deps/build $(GEN)
	$(Q)mkdir -p $(@D); $(call say,CC,$<)
	$(Q)$(CC) $(HOST_FLAGS) -MMD -MP -c -o $@ $<
$(T)/obj/%.o: %.c $(T)/obj/flags | $(O)/deps/test $(GEN) $(T)/libbearssl.a
	$(Q)mkdir -p $(@D); $(call say,CC-SAN,$<)
	$(Q)$(CC) $(TEST_FLAGS) -MMD -MP -c -o $@ $<
$(C)/obj/%.o: %.c $(C)/obj/flags | $(O)/deps/test $(GEN) $(T)/libbearssl.a
	$(Q)mkdir -p $(@D); $(call say,CC-COV,$<)
	$(Q)$(CC) $(COV_FLAGS) -MMD -MP -c -o $@ $<
$(F)/obj/%.o: %.c $(F)/obj/flags | $(O)/deps/lint $(O)/deps/test $(GEN) \
		$(T)/libbearssl.a
	$(Q)mkdir -p $(@D); $(call say,CLANG,$<)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<

$(G)/msb-init.debug: $(GUEST_OBJ) $(GUEST_DEPS)
	$(Q)$(call say,LD,$@)
	$(Q)$(MUSL_CC) $(GUEST_LDFLAGS) -o $@ $(GUEST_OBJ) $(GUEST_LIBS)
$(G)/msb-init: $(G)/msb-init.debug
	$(Q)$(call say,STRIP,$@)
	$(Q)strip -s -R .comment -R .note.gnu.build-id -o $@ $<

$(H)/msb-gateway: $(HOST_OBJ)
	$(Q)$(call say,LD,$@)
	$(Q)$(CC) $(HOST_FLAGS) $(HOST_LDFLAGS) -o $@ $(HOST_OBJ) $(HOST_LIBS)

# q, not r: members of different directories may share a name
$(T)/libmsb.a: $(TESTED_OBJ)
	$(Q)rm -f $@; ar qcs $@ $(TESTED_OBJ)
$(F)/libmsb.a: $(FUZZED_OBJ)
	$(Q)rm -f $@; ar qcs $@ $(FUZZED_OBJ)

$(C)/libmsb.a: $(COVERED_OBJ)
	$(Q)rm -f $@; ar qcs $@ $(COVERED_OBJ)
$(C)/unit: $(COV_OBJ) $(C)/libmsb.a $(T)/libbearssl.a
	$(Q)$(call say,LD,$@)
	$(Q)$(CC) --coverage -o $@ $(COV_OBJ) $(C)/libmsb.a $(TEST_LIBS) -lcmocka

$(T)/unit: $(UNIT_OBJ) $(T)/libmsb.a $(T)/libbearssl.a
	$(Q)$(call say,LD,$@)
	$(Q)$(CC) $(SAN) -o $@ $(UNIT_OBJ) $(T)/libmsb.a $(TEST_LIBS) -lcmocka
$(T)/fuzz/%: $(T)/obj/tests/fuzz/%_fuzz.o $(T)/obj/tests/fuzz/standalone.o \
		$(T)/libmsb.a $(T)/libbearssl.a
	$(Q)mkdir -p $(@D); $(call say,LD,$@)
	$(Q)$(CC) $(SAN) -o $@ $(filter %.o,$^) $(T)/libmsb.a $(TEST_LIBS)
$(FUZZERS:%=$(F)/%): $(F)/%: $(F)/obj/tests/fuzz/%_fuzz.o $(F)/libmsb.a \
		$(T)/libbearssl.a
	$(Q)$(call say,LD,$@)
	$(Q)$(CLANG) $(SAN) -fsanitize=fuzzer -o $@ $< $(F)/libmsb.a $(TEST_LIBS)

BENCH_FLAGS := $(BASE) $(WARN) -O2 -pthread
$(O)/bench/nb: $(wildcard tests/bench/nb*.c) tests/bench/nb.h | $(O)/deps/build
$(O)/bench/bridge: tests/bench/bridge.c | $(O)/deps/build
$(O)/bench/tapsock: tests/bench/tapsock.c | $(O)/deps/build
# It speaks by what the gateway speaks by, optimised as that is
$(O)/bench/vufront: $(wildcard tests/bench/vufront*.c) \
		$(filter $(H)/obj/lib/base/% $(H)/obj/lib/proto/hello.o \
		$(H)/obj/lib/link/link.o $(H)/obj/gateway/wire/%,$(HOST_OBJ)) \
		$(wildcard tests/bench/vufront*.h)
$(O)/bench/limits: tests/bench/limits.c | $(O)/deps/build
$(O)/bench/vg_exec.so: tests/bench/vg_exec.c | $(O)/deps/build
	$(Q)mkdir -p $(@D); $(call say,CC,$@)
	$(Q)$(CC) $(BENCH_FLAGS) -fPIC -shared -o $@ $<
$(O)/bench/%:
	$(Q)mkdir -p $(@D); $(call say,CC,$@)
	$(Q)$(CC) $(BENCH_FLAGS) -o $@ $(filter %.c %.o,$^)

-include $(wildcard $(O)/*/obj/*/*.d $(O)/*/obj/*/*/*.d)

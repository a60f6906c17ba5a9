# The suite's commands; `make` lists them. A lab's own Makefile builds it alone.
labs := $(sort $(wildcard lab[0-9][0-9]_*))
short := $(foreach lab,$(labs),$(firstword $(subst _, ,$(lab))))
parallel = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))
options = $(strip $(if $(CHECK),--check '$(CHECK)') $(if $(SCHEDULE),--schedule '$(SCHEDULE)') \
	$(if $(SUBMISSION),--submission '$(SUBMISSION)') $(if $(filter 0,$(HIDDEN)),--visible-only) $(if $(AGAIN),--again))

## make help             this list
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make lab05            build one lab (lab05_select works too); make lab05-clean removes what it built
$(short):
	@$(MAKE) $(parallel) --no-print-directory -C $(wildcard $@_*)
$(labs):
	@$(MAKE) $(parallel) --no-print-directory -C $@
$(short:%=%-clean):
	@$(MAKE) --no-print-directory -C $(wildcard $(@:-clean=)_*) clean

## make all              build all labs
all: $(short)

## make compile_commands compile_commands.json, for editors
compile_commands:
	harness/compile-commands > compile_commands.json

## make unit-lab05       the lab's unit tests (GoogleTest)
$(short:%=unit-%):
	@$(MAKE) $(parallel) --no-print-directory -C $(wildcard $(@:unit-%=%)_*) unit

## make grade-lab05      build, drive and score one lab; what has not changed keeps its verdict
##                       AGAIN=1 all anew; CHECK=name, SUBMISSION=DIR, HIDDEN=0 for what students see
$(short:%=grade-%):
	harness/grade $(@:grade-%=%) $(options)

## make grade            the same for all labs
grade:
	harness/grade $(options)

## make asan-lab05       the lab graded with AddressSanitizer and UBSan
$(short:%=asan-%):
	harness/grade $(@:asan-%=%) --variant asan $(options)

## make tsan-lab06       the lab graded with ThreadSanitizer
$(short:%=tsan-%):
	harness/grade $(@:tsan-%=%) --variant tsan $(options)

## make watch-lab05      rebuild and grade at each save
$(short:%=watch-%):
	harness/watch $(@:watch-%=%)

## make hint-lab05       one more hint at a time for the first check that failed; CHECK=name for another
$(short:%=hint-%):
	@harness/hint $(@:hint-%=%) $(CHECK)

## make trace-lab05      PROGRAM=upper_server: its timeline under scripted clients; or CHECK=name: that check's
$(short:%=trace-%):
	harness/trace $(@:trace-%=%) $(PROGRAM) $(if $(CHECK),--check '$(CHECK)')

## make schedules-lab06  PROGRAM=race ARGUMENTS='-n 2': every schedule of its threads; BOUND=1, SEEDS=100, TSAN=1;
##                       of a server: CLIENTS='say one; line; leave'
$(short:%=schedules-%):
	harness/schedules $(@:schedules-%=%) $(PROGRAM) $(if $(TSAN),--tsan) $(if $(BOUND),--bound $(BOUND)) $(if $(SEEDS),--seeds $(SEEDS)) \
		$(if $(CLIENTS),--clients '$(CLIENTS)') $(if $(INPUT),--input '$(INPUT)') -- $(ARGUMENTS)

## make doctor           what this machine can do, and what to do about the rest
doctor:
	harness/doctor

## make clean            remove everything that make built, but not the results in build/grade
clean: $(short:%=%-clean)
	@$(RM) compile_commands.json
	@if [ -d build ]; then find build -mindepth 1 -maxdepth 1 ! -name grade -exec $(RM) -r {} +; fi

.PHONY: help all compile_commands grade doctor clean \
	$(short) $(labs) $(foreach kind,unit grade asan tsan watch hint trace schedules,$(short:%=$(kind)-%)) $(short:%=%-clean)

-include harness/instructors.mk

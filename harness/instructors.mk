# The commands that are not in a students' release.

## make mistakes         the kill matrix: every known mistake is found and named; LAB=lab05 for one lab
mistakes:
	harness/kill-matrix $(LAB)

## make contact-sheet    the timeline of a mistake for each cause, on one page in build/contact-sheet/; LAB=lab05
contact-sheet:
	harness/contact-sheet $(LAB)

## make starter          what students get, in build/starter/lab05/ …; LAB=lab05 for one lab, DEPTH=guided or build for all exercises
starter:
	harness/release --out build/starter $(if $(DEPTH),--depth $(DEPTH)) $(LAB)

## make clinic-lab04     SEED=name: that lab with a fault built in, and a user's complaint, in build/clinic/lab04
$(short:%=clinic-%):
	harness/release --clinic $(@:clinic-%=%) --seed '$(or $(SEED),$(error SEED= chooses the fault, a name for example))' --out build/clinic/$(@:clinic-%=%)

## make flakes           grade again and again under load (RUNS=30, MISTAKES=10), and list every verdict that ever differed
flakes:
	harness/flakes $(if $(RUNS),--runs $(RUNS)) $(if $(MISTAKES),--mistakes $(MISTAKES)) $(LAB)

## make fuzz             INPUTS=1000000 streams through the line protocol, cut anyhow, with sanitizers
fuzz:
	@mkdir -p build
	g++ -std=c++20 -O1 -g -fsanitize=address,undefined -o build/fuzz_lines harness/fuzz/lines.cpp
	build/fuzz_lines $(or $(INPUTS),1000000)

## make bench            the schemes against each other, in build/bench/; QUICK=1, PEER='NAME=COMMAND …'
bench:
	harness/bench $(if $(QUICK),--quick) $(if $(PEER),--peer '$(PEER)')

## make handouts         the handouts as a site, in build/handouts/
handouts:
	harness/site --out build/handouts

## make glossary         handouts/glossary.md anew, from the terms that are marked in the handouts
glossary:
	harness/glossary

# Two workers, where pytest can: much of what the tests do is waiting.
parallel_tests = $(shell /usr/bin/python3 -c 'import xdist' 2> /dev/null && printf %s '-n 2 --dist loadgroup')
quick_tests = harness/tests/facts $(addprefix harness/tests/test_,house_python.py house_hints.py house_neighbours.py \
	house_handouts.py house_glossary.py house_release.py house_waiting.py house_clinic.py house_references.py \
	house_sources.py finding.py timelines.py sockets.py kept.py side_by_side.py unotify.py seed.py pages.py \
	schedules.py)

## make test             what CI runs: the labs, each solution in the sandbox, handouts and releases, and attacks on the harness
test: all
	/usr/bin/python3 -m pytest -v --durations=10 $(parallel_tests) -k 'not starter and not container' $(quick_tests)
	/usr/bin/python3 -m pytest -v --durations=10 harness/tests/test_attacks.py

## make test-long        all tests: references, kill matrices, starters, surroundings, classes; an hour on two cores
test-long: all
	/usr/bin/python3 -m pytest -v harness/tests/test_attacks.py harness/tests/test_house_references.py
	/usr/bin/python3 -m pytest -v --durations=10 $(parallel_tests) --ignore harness/tests/test_attacks.py \
		--ignore harness/tests/test_house_references.py

## make test-on          RELEASE=trixie: make grade and make test on that release of Debian, in a tree of its own
test-on:
	harness/test-on '$(or $(RELEASE),$(error RELEASE= names a release of Debian, trixie for example))'

.PHONY: contact-sheet $(short:%=clinic-%) mistakes starter flakes fuzz bench handouts glossary test test-long

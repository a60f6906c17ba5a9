#!/bin/bash
# Gradescope runs this once, as root, while it builds the image.
set -eu
cd /autograder/source
sh harness/setup needed
# Ubuntu 22.04 has a pytest that is too old.
if ! /usr/bin/python3 -c 'import pytest; assert pytest.version_tuple >= (7,)' 2>/dev/null; then
    apt-get install -y --no-install-recommends python3-pip
    /usr/bin/python3 -m pip install 'pytest>=7,<9'
fi
chmod go= /autograder/source  # a submission does not run as root

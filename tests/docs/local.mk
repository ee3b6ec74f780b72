# SPDX-License-Identifier: GPL-2.0-or-later
dist_check_SCRIPTS += tests/docs/test-help.sh
TESTS += tests/docs/test-help.sh

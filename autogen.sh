#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Make ./configure from configure.ac; needed once after a checkout.
set -e
cd "$(dirname "$0")"
for tool in autoreconf:autoconf automake:automake libtoolize:libtool pkg-config:pkg-config; do
    command -v "${tool%%:*}" >/dev/null || {
        echo "autogen.sh: ${tool%%:*} is missing: install Debian's package ${tool##*:}" >&2
        exit 1
    }
done
exec autoreconf --install --force --warnings=all,no-obsolete

#!/bin/sh
# Sees to the Debian packages that the tests use (tests/debian-packages.txt): as root it installs those that
# are missing, else it says which they are. It never fails for them: tests that lack a program are skipped,
# and say so.
set -eu
cd "$(dirname "$0")/.."
command -v dpkg-query >/dev/null || exit 0

missing=
for package in $(sed 's/#.*//' tests/debian-packages.txt); do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=none
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
    printf 'Some tests will be skipped, for want of these Debian packages:%s\n' "$missing" >&2
    printf 'They can be installed with: sudo apt-get install%s\n' "$missing" >&2
    exit 0
fi
printf 'Installing the Debian packages that the tests use:%s\n' "$missing"
# A run level of 1 keeps packages from starting their services; the tests start what they need themselves.
# shellcheck disable=SC2086
if ! { apt-get -qq update &&
       RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $missing; } >/dev/null; then
    printf 'They could not be installed; tests that need them will be skipped.\n' >&2
fi

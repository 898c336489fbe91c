#!/bin/sh
# Makes a virtual environment and keeps it right, doing nothing where nothing changed.
#
#   .ci/venv.sh dev     .venv: ondeck in strict editable mode, with what development needs
#   .ci/venv.sh demo    .demo-venv: ondeck installed as users install it, with what the demo needs
#
# Run from the root of the checkout. A stamp in the environment says of which files it was made: the
# packages are installed anew when requirements or pins change, ondeck alone when its own files do.
set -eu

say() { printf '%s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# Python 3.11 or newer, and with ensurepip: Debian keeps that in a package of its own, python3-venv.
usable() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    [ -z "${PYTHON:-}" ] || { usable "$PYTHON" && printf '%s\n' "$PYTHON"; return; }
    for candidate in python3.14 python3.13 python3.12 python3.11 python3 /usr/bin/python3; do
        if usable "$candidate"; then printf '%s\n' "$candidate"; return; fi
    done
    return 1
}

missing_python() {
    [ -z "${PYTHON:-}" ] || die "$PYTHON is not a Python of at least 3.11 that can make virtual environments."
    for candidate in python3.14 python3.13 python3.12 python3.11 python3 /usr/bin/python3; do
        recent "$candidate" || continue
        version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            say "$candidate can't make virtual environments: installing Debian's python$version-venv"
            apt-get -qq update >/dev/null &&
                DEBIAN_FRONTEND=noninteractive \
                    apt-get -qq install --no-install-recommends "python$version-venv" >/dev/null ||
                die "python$version-venv could not be installed"
            return
        fi
        die "$candidate can't make virtual environments. On Debian: apt-get install python$version-venv"
    done
    die "ondeck needs Python 3.11 or newer; none was found (PYTHON=/path/to/python3 names one)."
}

# What the wheel is made of, by name; the same rule as in setup.cfg's package_data.
own_files() {
    find . \( -path './.*' -o -path ./build -o -path ./dist -o -path ./tests -o -path ./docs \
              -o -path ./examples -o -path ./benchmarks -o -path ./state -o -name __pycache__ \) -prune \
        -o -type f \( -name '*.py' -o -path './templates/*' -o -path './tools/*.sh' \
                      -o -name script.py.mako -o -path ./py.typed -o -path ./acrontab.txt \) -print |
        LC_ALL=C sort
}

make_environment() {    # FOLDER. One that was copied or moved with its checkout still leads to the old place.
    [ "$(cat "$1/.place" 2>/dev/null)" = "$PWD" ] && "$1/bin/python" -c '' 2>/dev/null && return
    python=$(find_python) || { missing_python; python=$(find_python) || die "still no usable Python"; }
    say "making $1 with $("$python" --version)"
    rm -rf "$1"
    "$python" -m venv "$1"
    printf '%s\n' "$PWD" >"$1/.place"
}

requirements_sum() { cat setup.cfg pyproject.toml tests/constraints.txt .ci/venv.sh | cksum; }

export PIP_DISABLE_PIP_VERSION_CHECK=1
kind=${1:-dev}
case $kind in
    dev)  venv=.venv       extras=dev,gw ;;
    demo) venv=.demo-venv  extras=gw ;;
    *)    die "usage: .ci/venv.sh dev|demo" ;;
esac
[ -f setup.cfg ] || die "run this from the root of ondeck's checkout"

make_environment "$venv"
pip="$venv/bin/python -m pip --quiet"
wanted=$(requirements_sum)
if [ "$(cat "$venv/.requirements" 2>/dev/null)" != "$wanted" ]; then
    say "$venv: installing ondeck[$extras] and what it needs"
    rm -f "$venv/.files"
    # shellcheck disable=SC2086
    $pip install -c tests/constraints.txt setuptools wheel
    depends=yes
else
    depends=no
fi

# An editable install shows changes of a file at once; a new or removed file takes a new install.
# The demo's install is a copy, so there the contents count too.
if [ "$kind" = dev ]; then files=$(own_files | cksum)
else files=$(own_files | tr '\n' '\0' | xargs -0 cat -- | cksum; own_files | cksum); fi

if [ "$(cat "$venv/.files" 2>/dev/null)" != "$files" ] ||
   { [ "$kind" = dev ] && ! "$venv/bin/python" -I -c 'import ondeck' 2>/dev/null; }; then
    [ $depends = yes ] || say "$venv: ondeck's own files changed, installing it anew"
    rm -f "$venv/.files"
    if [ "$kind" = dev ]; then
        rm -rf build      # of an earlier install: files that are gone would live on in it
        target="--config-settings editable_mode=strict --editable .[$extras]"
    else
        rm -rf build/lib build/bdist.*    # not all of build: the development environment lives in it
        target=".[$extras]"
    fi
    if [ $depends = yes ]; then
        # shellcheck disable=SC2086
        $pip install -c tests/constraints.txt --no-build-isolation $target
    else
        # shellcheck disable=SC2086
        $pip install --no-deps --force-reinstall --no-build-isolation $target
    fi
    [ "$kind" = dev ] || rm -rf build/lib build/bdist.*
    printf '%s\n' "$files" >"$venv/.files"
    printf '%s\n' "$wanted" >"$venv/.requirements"
fi

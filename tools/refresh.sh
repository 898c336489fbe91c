#!/bin/sh
# Restarts ondeck's daemons, one by one. Made for acrontab and cron; `refresh.sh --help` says more.
set -u
usual_umask=$(umask)
umask 077

usage() {
    cat <<'END'
usage: refresh.sh [--if-dead] [--config FILE] [--node NAME] [--krb-cache FILE] [--verbose]

Restarts RunsProvider, Transfer, JobOrganizer, Process, DiskMonitor and Messenger, in this order. acrontab.txt
shows how to have it done regularly; `ondeck cron` prints the same for a plain crontab.

  --if-dead         restart only a daemon whose heartbeat is old: one that has died or hangs
  --config FILE     the configuration; without it ondeck looks in its usual places
  --node NAME       do nothing unless this is the node NAME
  --krb-cache FILE  copy the Kerberos credentials to FILE and let the daemons use them there: acron takes its
                    own away when this script ends
  --verbose         show what is done also where all is well (the default at a terminal)

Kerberos credentials, where there are any, are renewed first. The program is $ONDECK_BIN, or the ondeck installed
with this script, or the first in $PATH. Two refreshes of one configuration never overlap: one with --if-dead
leaves the work to the other, any other waits for it.

The exit code is 0 if all is well, 1 if a daemon could not be restarted or this is the wrong node, 2 for an
option or a configuration that can't be used.
END
}

say() { [ "$verbose" = no ] || printf '%s\n' "$*"; }
complain() { printf '%s\n' "refresh.sh: $*" >&2; }
refuse() { complain "$*"; exit 2; }

if_dead='' config=${ONDECK_CONFIG:-} node='' krb_cache='' verbose=no
[ ! -t 1 ] || verbose=yes
while [ $# -gt 0 ]; do
    case $1 in
        --config=*|--node=*|--krb-cache=*)
            option=${1%%=*} value=${1#*=}
            shift
            set -- "$option" "$value" "$@"
            continue ;;
        --config|--node|--krb-cache)
            [ $# -ge 2 ] && [ -n "$2" ] || refuse "$1 needs a value (refresh.sh --help)"
            case $1 in
                --config) config=$2 ;;
                --node) node=$2 ;;
                --krb-cache) krb_cache=$2 ;;
            esac
            shift 2 ;;
        --if-dead) if_dead=--if-dead; shift ;;
        --verbose|-v) verbose=yes; shift ;;
        --help|-h) usage; exit 0 ;;
        *) refuse "unknown option $1 (refresh.sh --help)" ;;
    esac
done

# cron gives a very short PATH, or none; the rest is for kinit and flock on sites that keep them elsewhere.
PATH=${PATH:-/usr/bin:/bin}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
export PATH

# --- the node. One of the two names may lack its domain.
if [ -n "$node" ]; then
    here=$(uname -n)
    case $node in *.*) ;; *) here=${here%%.*} ;; esac
    case $here in *.*) wanted=$node ;; *) wanted=${node%%.*} ;; esac
    if [ "$here" != "$wanted" ]; then
        echo "Please use $node" >&2
        exit 1
    fi
fi

# --- the configuration, as the daemons will read it: they look into the environment for it.
if [ -n "$config" ]; then
    [ -f "$config" ] && [ -r "$config" ] || refuse "the configuration $config is not a file that can be read"
    case $config in /*) ;; *) config=$PWD/$config ;; esac
    ONDECK_CONFIG=$config
    export ONDECK_CONFIG
fi

# --- the program: beside this script in lib/pythonX.Y/site-packages/ondeck/tools, or in a checkout's .venv.
find_ondeck() {
    if [ -n "${ONDECK_BIN:-}" ]; then
        printf '%s\n' "$ONDECK_BIN"
        return
    fi
    real=$(readlink -f -- "$0") || real=$0
    for script in "$0" "$real"; do
        folder=$(CDPATH='' cd -- "$(dirname -- "$script")" 2>/dev/null && pwd) || continue
        for candidate in "$folder/../../../../../bin/ondeck" "$folder/../.venv/bin/ondeck"; do
            if [ -f "$candidate" ] && [ -x "$candidate" ]; then
                printf '%s\n' "$candidate"
                return
            fi
        done
    done
    command -v ondeck
}
ondeck=$(find_ondeck) || refuse "no ondeck command was found beside $0 or in PATH; ONDECK_BIN can name it"
[ -x "$ondeck" ] || refuse "$ondeck (from ONDECK_BIN) is not a program"

# --- one refresh at a time. The lock is on this node's own disk (a home may be on AFS or NFS), is the same for
# cron and at a terminal, and goes with this process; the daemons must not inherit it (9>&-).
lock=/tmp/ondeck-refresh.$(id -u).$(printf '%s' "$config" | cksum | tr ' ' -).lock
if ! command -v flock >/dev/null; then
    refuse "flock is missing (on Debian in the package util-linux)"
fi
if [ -L "$lock" ] || ! { : >>"$lock"; } 2>/dev/null ||
   [ -z "$(find "$lock" -prune -type f -user "$(id -u)" 2>/dev/null)" ]; then
    refuse "$lock is somebody else's; it has to be removed"
fi
exec 9>>"$lock"
if [ -n "$if_dead" ]; then
    flock -n 9 || { say "another refresh is at work; nothing to do"; exit 0; }
else
    flock -w 1800 9 || { complain "another refresh has been at work for half an hour ($lock)"; exit 1; }
fi

# --- Kerberos. No klist, no credentials: not a word.
refresh_credentials() {
    command -v klist >/dev/null || return 0
    if [ -n "$krb_cache" ]; then
        case $krb_cache in /*) ;; *) krb_cache=$PWD/$krb_cache ;; esac
        cache=${KRB5CCNAME:-/tmp/krb5cc_$(id -u)}
        cache=${cache#FILE:}
        if [ "$cache" != "$krb_cache" ] && [ -f "$cache" ] && klist -s 2>/dev/null; then
            # Never a half-written cache under the daemons' eyes.
            if part=$(mktemp "$krb_cache.XXXXXX") && cp -- "$cache" "$part" && mv -f -- "$part" "$krb_cache"; then
                say "Kerberos credentials copied to $krb_cache"
            else
                [ -z "$part" ] || rm -f -- "$part"
                complain "the Kerberos credentials could not be copied to $krb_cache"
            fi
        fi
        [ -f "$krb_cache" ] || return 0
        KRB5CCNAME=FILE:$krb_cache
        export KRB5CCNAME
    fi
    klist >/dev/null 2>&1 || return 0
    if command -v kinit >/dev/null && kinit -R >/dev/null 2>&1; then
        say "Kerberos credentials renewed"
    elif ! klist -s 2>/dev/null; then
        complain "the Kerberos credentials have expired and could not be renewed"
    fi
}
refresh_credentials 9>&-

# --- the daemons. `ondeck daemon` itself judges a heartbeat, ends what hangs and mails when one had died.
# The time limit is far above what a restart may take, so that one daemon can't keep the others from theirs.
# What is said goes through a file: nobody who inherits a pipe can keep this script waiting.
said=$(mktemp) || refuse "no temporary file can be made"
trap 'rm -f -- "$said"' EXIT
trap 'exit 1' HUP INT TERM
umask "$usual_umask"
failed=''
for name in RunsProvider Transfer JobOrganizer Process DiskMonitor Messenger; do
    timeout -k 10 300 "$ondeck" daemon "$name" restart $if_dead >"$said" 2>&1 </dev/null 9>&-
    code=$?
    if [ "$code" != 0 ]; then
        failed="$failed $name"
        cat -- "$said" >&2
        [ "$code" = 124 ] && why="no answer in 5 minutes" || why="exit code $code"
        complain "$name could not be restarted ($why)"
    elif [ "$verbose" = yes ]; then
        cat -- "$said"
    fi
done
[ -z "$failed" ] || exit 1

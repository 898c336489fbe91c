#!/bin/sh
# Runs the payload.sh of an attempt, at most once however often it is started, and says how it ended. The payload works
# in a directory below the attempt's, so that no file it writes there can be taken for one of these.
# Exit codes: the payload's; 75 another has the claim, nothing was run; 74 claim or start could not be written,
# nothing was run.
token={{ token|sh }}
dir={{ directory|sh }}
{% for name, value in env.items() %}
export {{ name|raw }}={{ value|sh }}
{% endfor %}
{{ identity|raw }}
export ONDECK_BATCH_ID="${ONDECK_BATCH_ID:--}" ONDECK_START_COUNT="${ONDECK_START_COUNT:--}"
export ONDECK_TOKEN="$token" ONDECK_ATTEMPT_DIR="$dir" ONDECK_OUTPUT="$dir/output"
# Set by a batch system that leaves the walltime to us: in seconds, as is the time between TERM and KILL.
walltime=${ONDECK_WALLTIME:-} kill_after=${ONDECK_KILL_AFTER:-10}
unset ONDECK_WALLTIME ONDECK_KILL_AFTER

say() { printf 'ondeck: %s\n' "$*" >&2; }

# First line of a file of the system, or "-".
line_of() {
    line=
    { read -r line <"$1"; } 2>/dev/null
    printf '%s' "${line:--}"
}

# Epoch seconds, with fractions where date knows them.
now() {
    seconds=$(date +%s.%N)
    case $seconds in *[!0-9.]* | *.) seconds=$(date +%s) ;; esac
    printf '%s' "$seconds"
}

CDPATH='' cd -- "$dir" || { say "no directory $dir"; exit 74; }
[ "$(line_of token)" = "$token" ] || { say "the directory is not that of $token"; exit 75; }

host=$(uname -n)
stat=$(line_of "/proc/$$/stat")
# shellcheck disable=SC2086  # fields of numbers
set -- ${stat##*) }
ticks=${20:--}
nonce=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
claim="ondeck-claim 1
by job
token $token
batch_id $ONDECK_BATCH_ID
start_count $ONDECK_START_COUNT
host $host
boot_id $(line_of /proc/sys/kernel/random/boot_id)
pidns $(readlink /proc/self/ns/pid 2>/dev/null || printf -)
machine $(line_of /etc/machine-id)
pid $$
ticks $ticks
at $(now)
nonce $nonce
end"

# Who reads back his own content has won, whatever ln said: over NFS an answer may get lost and ln be repeated.
[ ! -e claim ] || { say "another has the claim; nothing is run"; exit 75; }
mine=.claim.$nonce
trap 'rm -f "$mine"' EXIT
printf '%s\n' "$claim" >"$mine" && sync "$mine" || { say "can't write a claim"; exit 74; }
ln -T "$mine" claim 2>/dev/null
sync .
found=$(cat claim) || { say "can't read the claim"; exit 74; }
[ "$found" = "$claim" ] || { say "another has the claim; nothing is run"; exit 75; }
rm -f "$mine"
trap - EXIT

# From here on nobody else writes in this directory. Room for the exit file is taken now: the payload may fill the disk.
started=$(now)
begun="ondeck-start 1
token $token
batch_id $ONDECK_BATCH_ID
host $host
pid $$
at $started
end"
printf '%-1000s\n' '' >.exit && sync .exit &&
    printf '%s\n' "$begun" >.start && sync .start && mkdir output work && mv -fT .start start && sync . ||
    { say "can't write start"; exit 74; }

# A background job of a shell would ignore INT and QUIT.
plain=
env --default-signal=INT,QUIT true 2>/dev/null && plain='env --default-signal=INT,QUIT'

payload='' caught='' early=''
pass_on() {
    caught=$1
    if [ -n "$payload" ]; then kill -s "$1" "$payload" 2>/dev/null; else early=$1; fi
}
for name in HUP INT TERM USR1 USR2; do
    # shellcheck disable=SC2064  # the name of now
    trap "pass_on $name" "$name"
done
late=''
[ -z "$walltime" ] || trap 'late=1 caught=ALRM' ALRM
# shellcheck disable=SC2086  # some words or none
(CDPATH='' cd -- "$dir/work" && exec $plain sh "$dir/payload.sh") >stdout 2>stderr </dev/null &
payload=$!
[ -z "$early" ] || kill -s "$early" "$payload" 2>/dev/null

# Waits, in a session of its own and without the token, so that it is no part of the job. When the time is over it tells
# the wrapper (ALRM), and ends all other processes of the job: those that carry the token, and while the wrapper lives
# those of its session. $1 token, $2 $3 the wrapper and its start, $4 $5 the times.
# shellcheck disable=SC2016
watcher='
token=$1 leader=$2 start=$3
leads() {
    { read -r line <"/proc/$leader/stat"; } 2>/dev/null || return
    set -- ${line##*) }
    [ "${20:-}" = "$start" ]
}
find_others() {
    others=
    for file in $(grep -zlaxF "ONDECK_TOKEN=$token" /proc/[0-9]*/environ 2>/dev/null); do
        pid=${file#/proc/} pid=${pid%/environ}
        [ "$pid" = "$leader" ] || others="$others $pid"
    done
    leads || return 0
    for file in /proc/[0-9]*/stat; do
        { read -r line <"$file"; } 2>/dev/null || continue
        pid=${file#/proc/} pid=${pid%/stat}
        set -- ${line##*) }
        case $1 in Z | X | x) continue ;; esac
        [ "${4:-}" != "$leader" ] || [ "$pid" = "$leader" ] || others="$others $pid"
    done
}
sleep "$4"
! leads || kill -s ALRM "$leader"
find_others
[ -z "$others" ] || { kill -s TERM $others; kill -s CONT $others; }
end=$(($(date +%s) + $5))
while find_others; [ -n "$others" ] && [ "$(date +%s)" -lt "$end" ]; do sleep 0.1; done
for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -n "$others" ] || break
    kill -s KILL $others
    sleep 0.1
    find_others
done
'
watch=''
if [ -n "$walltime" ]; then
    setsid env -u ONDECK_TOKEN -u ONDECK_BATCH_ID sh -c "$watcher" ondeck-walltime \
        "$token" "$$" "$ticks" "$walltime" "$kill_after" </dev/null >/dev/null 2>&1 &
    watch=$!
fi

caught=''
wait "$payload"
code=$?
while [ -n "$caught" ]; do
    caught=''
    wait "$payload"
    again=$?
    # Told already (127), or lost (-1, seen with bash): then the signal stands, so never a success.
    case $again in
    127 | -*) while kill -0 "$payload" 2>/dev/null; do sleep 1; done ;;
    *) code=$again ;;
    esac
done
# Once the time is over the watcher ends what the payload has left; before that it is not needed any more.
[ -z "$watch" ] || [ -n "$late" ] || kill -s KILL -- "-$watch" "$watch" 2>/dev/null
[ -z "$late" ] || wait "$watch"
trap '' HUP INT TERM USR1 USR2 ALRM

newline='
'
ended=$(now)
reason=-
if [ -n "$late" ]; then
    reason=walltime
    [ "$code" -ne 0 ] || code=124
fi
signal=-
[ "$code" -le 128 ] || [ "$code" -gt 192 ] || signal=$((code - 128))
stat=$(line_of "/proc/$$/stat")
# shellcheck disable=SC2086
set -- ${stat##*) }
cpu=-
if [ -n "${15:-}" ]; then
    hertz=$(getconf CLK_TCK 2>/dev/null || printf 100)
    hundredths=$(((${14} + ${15}) * 100 / hertz))
    cpu=$((hundredths / 100)).$(printf '%02d' $((hundredths % 100)))
fi
ending="ondeck-exit 1
token $token
code $code
signal $signal
host $host
started $started
ended $ended
cpu $cpu
reason $reason
end"

# What the payload left must be on disk before anybody hears that it is done.
find output -exec sync -- {} + 2>/dev/null || say "not all of output could be flushed"
for pause in 1 5 20 0; do
    printf '%-1000s\n' "$ending$newline" 1<>.exit && sync .exit && [ "$(head -n 10 .exit)" = "$ending" ] &&
        mv -fT .exit exit && sync . && exit "$code"
    say "can't write the exit file"
    sleep "$pause"
done
exit "$code"

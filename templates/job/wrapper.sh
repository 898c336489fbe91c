#!/bin/sh
# Runs payload.sh in the directory of an attempt, at most once however often it is started, and says how it ended.
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
    printf '%s\n' "$begun" >.start && sync .start && mkdir output && mv -fT .start start && sync . ||
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
# shellcheck disable=SC2086  # some words or none
$plain sh ./payload.sh >stdout 2>stderr </dev/null &
payload=$!
[ -z "$early" ] || kill -s "$early" "$payload" 2>/dev/null

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
trap '' HUP INT TERM USR1 USR2

newline='
'
ended=$(now)
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
end"

# What the payload left must be on disk before anybody hears that it is done.
find output -exec sync -- {} + 2>/dev/null || say "not all of output could be flushed"
for pause in 1 5 20 0; do
    printf '%-1000s\n' "$ending$newline" 1<>.exit && sync .exit && [ "$(head -n 9 .exit)" = "$ending" ] &&
        mv -fT .exit exit && sync . && exit "$code"
    say "can't write the exit file"
    sleep "$pause"
done
exit "$code"

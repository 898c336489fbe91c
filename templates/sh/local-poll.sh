# Lists the processes that carry a token in their environment, and where all processes belong.
# Answer: fields, each ended by a NUL: when (clock ticks since boot, epoch seconds) and what machine this is; lines of
# grep about /proc/PID/environ; "tokens" and grep's exit code; for each process "p PID STATE SESSION TICKS"; "stats" and
# an exit code; "end".
# grep looks at itself too (CANARY, self), so an answer without that proves nothing.
printf 'ondeck-local 1\0'
first() {
    line=
    { read -r line <"$1"; } 2>/dev/null
    printf '%s' "${line:--}"
}
stat=$(first "/proc/$$/stat")
# shellcheck disable=SC2086
set -- ${stat##*) }
printf 'ticks %s\0at %s\0' "${20:--}" "$(date +%s)"
printf 'host %s\0boot_id %s\0pidns %s\0machine %s\0' "$(uname -n)" \
    "$(first /proc/sys/kernel/random/boot_id)" "$(readlink /proc/self/ns/pid 2>/dev/null || printf -)" \
    "$(first /etc/machine-id)"
ONDECK_CANARY=1 grep -zHaxE 'ONDECK_(TOKEN=[a-z][0-9a-z]{12}|BATCH_ID=[0-9]+\.[0-9]+|CANARY=1)' \
    /proc/[0-9]*/environ /proc/self/environ 2>/dev/null
printf 'tokens %s\0' $?
{
    grep -zHa '' /proc/[0-9]*/stat /proc/self/stat 2>/dev/null
    printf 'stats %s\0' $?
} | sed -zE 's/^\/proc\/([0-9]+|self)\/stat:.*\) (\S) \S+ \S+ (\S+) (\S+ ){15}(\S+) .*/p \1 \2 \3 \5/'
printf 'end\0'

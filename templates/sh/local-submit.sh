# Starts the wrapper of an attempt as a process of its own that outlives this one, and prints its batch id.
# Arguments: directory, token, then NAME=VALUE for its environment.
# Exit codes: 0; 65 it can't be started, with words on stderr; else it is not known whether it was started.
dir=$1 token=$2
shift 2
[ -r "$dir/wrapper.sh" ] || {
    printf 'there is no readable %s\n' "$dir/wrapper.sh" >&2
    exit 65
}
for needed in setsid env; do
    command -v "$needed" >/dev/null || {
        printf 'there is no command %s here\n' "$needed" >&2
        exit 65
    }
done
# The process keeps its number through exec: PID and start time are known before the wrapper is there. Whoever reads
# the id has to wait until that process gives its output away, so it is running by then.
# shellcheck disable=SC2016
id=$(setsid --fork env "$@" "ONDECK_TOKEN=$token" sh -c '
dir=$1 token=$2
exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
read -r stat <"/proc/$$/stat" || exit 1
set -- ${stat##*) }
export ONDECK_BATCH_ID="$$.${20}" ONDECK_START_COUNT=0
exec 3>>"$dir/batch.out" || exit 1
printf "%s\n" "$ONDECK_BATCH_ID"
exec sh "$dir/wrapper.sh" "$token" </dev/null >&3 2>&1 3>&-
' ondeck-job "$dir" "$token" </dev/null) || exit 1
printf '%s\n' "$id"

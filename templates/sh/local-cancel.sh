# Ends the processes that carry certain tokens, and the sessions that were begun for them: TERM, later KILL.
# Arguments: seconds between, then the tokens. Answers at once if all end at TERM, else after two seconds at the latest;
# a process that stays behind does the rest. A process is known by its token alone, never by its number.
# Exit codes: 0 told to end; else not known.
wait=$1
shift
all=$(printf '%s|' "$@")
# shellcheck disable=SC2016
text='
found() {
    carriers=$(grep -zlaxE "ONDECK_TOKEN=($1)" /proc/[0-9]*/environ 2>/dev/null | tr "/" " ")
    pids=" "
    for word in $carriers; do case $word in [0-9]*) pids="$pids$word " ;; esac; done
    [ "$pids" != " " ] || return 1
    sessions=" "
    for pid in $pids; do
        fields "/proc/$pid/stat" || continue
        case $pids in
        *" $session "*) sessions="$sessions$session " ;;
        *) [ -d "/proc/$session" ] || sessions="$sessions$session " ;;
        esac
    done
    for stat in /proc/[0-9]*/stat; do
        fields "$stat" || continue
        case $sessions in *" $session "*)
            pid=${stat#/proc/} pid=${pid%/stat}
            case $pids in *" $pid "*) ;; *) pids="$pids$pid " ;; esac ;;
        esac
    done
}
fields() {
    { read -r line <"$1"; } 2>/dev/null || return
    set -- ${line##*) }
    session=${4:-0}
    [ "$session" != 0 ]
}
'
export LC_ALL=C
eval "$text"
found "${all%|}" || exit 0
# shellcheck disable=SC2086
{
    kill -s TERM $pids
    kill -s CONT $pids
} 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    sleep 0.1
    found "${all%|}" || exit 0
done
# shellcheck disable=SC2016
setsid --fork sh -c "$text"'
sleep "$2"
for _ in 1 2 3 4 5; do
    found "$1" || exit 0
    kill -s KILL $pids 2>/dev/null
    sleep 0.2
done
' ondeck-local-kill "${all%|}" "$wait" </dev/null >/dev/null 2>&1

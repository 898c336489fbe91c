# Runs a command on behalf of another machine: with sentinels around its output, signs of its effort on stderr, and an
# end when the other side ends the input or goes away: TERM to the command's process group, 2 seconds later KILL.
# Before this text the words are set: mark, number of bytes of input, command. Input: those bytes, then nothing.
# Output: "<MARK:begin>", the command's, "<MARK:end:CODE>" on both streams; "<MARK:p PID.START=EFFORT …>" on stderr.
mark=$1 length=$2
shift 2
exec 3<&0 5>&2 2>/dev/null
cd /
unset LANG LANGUAGE PGPASSWORD GREP_OPTIONS TAR_OPTIONS POSIXLY_CORRECT CDPATH RSYNC_RSH group
# The command is that child of this shell which leads a session.
group() {
    for one in $(cat "/proc/$$/task/$$/children" || ls /proc); do
        case $one in *[!0-9]*) continue ;; esac
        stat=$(cat "/proc/$one/stat") || continue
        set -- ${stat##*) }
        if [ "$2" = "$$" ] && [ "$4" = "$one" ]; then
            echo "$one"
            return
        fi
    done
}
end() {
    until [ -n "$group" ]; do
        kill -0 "$$" || exit
        group=$(group)
        [ -n "$group" ] || sleep 0.05
    done
    kill -TERM "-$group"
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        sleep 0.1
        kill -0 "-$group" || exit
    done
    kill -KILL "-$group"
    exit
}
# A redirection beside a function's name would leave a copy of the old output open in its process.
watch() {
    exec <&3 >/dev/null 3<&- 5>&-
    cat
    if kill -0 "$$"; then end; fi
}
effort() {
    grep -hs ") [A-Za-z] [0-9]* $group " /proc/[0-9]*/stat | while read -r stat; do
        pid=${stat%% *}
        set -- ${stat##*) }
        sum=$((${12} + ${13})) start=${20}
        if [ -r "/proc/$pid/io" ]; then
            while read -r key value; do
                case $key in rchar: | wchar:) sum=$((sum + value)) ;; esac
            done <"/proc/$pid/io"
        fi
        printf ' %s.%s=%s' "$pid" "$start" "$sum"
    done
}
# A write that fails says that the other side is gone, also while it still owes input.
beat() {
    exec </dev/null >/dev/null 3<&-
    trap '' PIPE
    beats=0
    while sleep 1 5>&-; do
        [ -n "$group" ] || group=$(group)
        kill -0 "$$" || end
        beats=$((beats + 1))
        told=
        if [ -n "$group" ] && [ "$((beats % 4))" = 1 ]; then told=$(effort); fi
        printf '<%s:p%s>' "$mark" "$told" >&5 || end
    done
}
printf '<%s:begin>' "$mark"
printf '<%s:begin>' "$mark" >&5
beat &
beat=$!
if [ "$length" -gt 0 ]; then
    {
        head -c "$length" <&3
        watch &
    } | setsid "$@" 3<&- 2>&5 5>&-
else
    watch &
    setsid "$@" </dev/null 3<&- 2>&5 5>&-
fi
code=$?
kill "$beat"
printf '<%s:end:%s>' "$mark" "$code"
printf '<%s:end:%s>' "$mark" "$code" >&5

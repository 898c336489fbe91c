# Takes the claims of attempts, so that none of them can start any more. Makes a directory that is missing.
# Arguments: root, uuid, then directory, unique name, content of each claim.
# Answer: exit code and words of the flushing; then for each "+" and what its claim holds now, or "!" and why it can't be read.
guard "$1" "$2"
root=$1 uuid=$2
shift 2
prepare() {
    left=$#
    while [ "$left" -gt 0 ]; do
        [ -d "$1/" ] || mkdir -p -- "$1" || :
        printf '%s' "$3" >"$1/.claim.$2" && set -- "$@" "$1/.claim.$2"
        shift 3
        left=$((left - 3))
    done
    [ "$#" -eq 0 ] || sync -- "$@"
}
finish() {
    left=$#
    while [ "$left" -gt 0 ]; do
        # Who reads back his own content has won, whatever ln said.
        [ ! -e "$1/.claim.$2" ] || {
            ln -T -- "$1/.claim.$2" "$1/claim" 2>/dev/null
            rm -f -- "$1/.claim.$2"
        }
        [ ! -d "$1" ] || set -- "$@" "$1" "${1%/*}"
        shift 3
        left=$((left - 3))
    done
    [ "$#" -eq 0 ] || sync -- "$@"
}
words=$(prepare "$@" 2>&1)
code=$?
[ "$code" -ne 0 ] || {
    words=$words$(finish "$@" 2>&1)
    code=$?
}
printf '%s\0%s\0' "$code" "$words"
while [ "$#" -gt 0 ]; do
    rm -f -- "$1/.claim.$2" 2>/dev/null
    if words=$(head -c 4097 -- "$1/claim" 2>&1 && printf .); then
        printf '+%s\0' "${words%.}"
    else
        printf '!%s\0' "$words"
    fi
    shift 3
done
guard "$root" "$uuid"
printf 'end\0'

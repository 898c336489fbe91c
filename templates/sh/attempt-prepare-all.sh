# Arguments: root, uuid, then directory and token of each attempt; on descriptor 3 the tar.
# Answer: for each "made", "token", "none" or "failed" and a detail; then exit code of the filling and its words.
guard "$1" "$2"
root=$1 uuid=$2
shift 2
left=$#
while [ "$left" -gt 0 ]; do
    dir=$1 token=$2 parent=${1%/*}
    shift 2
    left=$((left - 2))
    words=
    [ -d "$parent/" ] || words=$(mkdir -p -- "$parent" 2>&1)
    if words=$words$(mkdir -- "$dir" 2>&1); then
        if printf '%s\n' "$token" 2>/dev/null >"$dir/.token"; then
            printf 'made\0\0'
            set -- "$@" "$dir"
        else
            printf 'failed\0no token could be written\0'
        fi
    elif [ ! -d "$dir" ]; then
        printf 'failed\0%s\0' "$words"
    elif [ ! -e "$dir/token" ] && [ ! -L "$dir/token" ]; then
        printf 'none\0\0'
    elif words=$(head -c 4097 -- "$dir/token" 2>&1); then
        printf 'token\0%s\0' "$words"
    else
        printf 'failed\0%s\0' "$words"
    fi
done
fill() {
    for dir; do
        set -- "$@" "$dir/.token"
        shift
    done
    sync -- "$@" || return
    for file; do
        mv -T -- "$file" "${file%/.token}/token" || return
        set -- "$@" "${file%/.token}"
        shift
    done
    for dir; do
        set -- "$@" "${dir#/}"
        shift
    done
    tar -x -f - -C / --no-same-owner --no-same-permissions --no-unquote --no-wildcards -- "$@" <&3 || return
    for dir; do
        set -- "$@" "/$dir"/* "/$dir" "/${dir%/*}"
        shift
    done
    sync -- "$@"
}
if [ "$#" -gt 0 ]; then
    words=$(fill "$@" 2>&1)
    printf '%s\0%s\0' "$?" "$words"
else
    printf '0\0\0'
fi
guard "$root" "$uuid"
printf 'end\0'

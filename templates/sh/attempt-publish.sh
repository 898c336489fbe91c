# Makes symbolic links, each replaced in one step.
# Arguments: root, uuid, unique name, then absolute name and target (relative to it) of each link.
# Answer: for each "same", "made" or "failed" and words.
guard "$1" "$2"
root=$1 uuid=$2 unique=$3
shift 3
publish() {
    [ -d "$parent/" ] || mkdir -p -- "$parent" || return
    [ -e "$parent/$target" ] || {
        printf 'there is no %s\n' "$parent/$target"
        return 1
    }
    ln -s -- "$target" "$new" && mv -fT -- "$new" "$link" && sync -- "$parent" && return
    rm -f -- "$new"
    return 1
}
while [ "$#" -gt 0 ]; do
    link=$1 target=$2 parent=${1%/*}
    shift 2
    new=$parent/.link.$unique
    if [ -L "$link" ] && [ "$(readlink -n -- "$link" && printf .)" = "$target." ]; then
        printf 'same\0\0'
    elif words=$(publish 2>&1); then
        printf 'made\0\0'
    else
        printf 'failed\0%s\0' "$words"
    fi
done
guard "$root" "$uuid"
printf 'end\0'

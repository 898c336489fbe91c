# Arguments: root, uuid, directories of attempts.
# Answer: for each a word of letters: d the directory is there, t token, c claim, s start, e exit; "-" nothing.
guard "$1" "$2"
root=$1 uuid=$2
shift 2
for dir; do
    seen=
    if [ -d "$dir" ]; then
        seen=d
        [ ! -e "$dir/token" ] || seen=${seen}t
        [ ! -e "$dir/claim" ] || seen=${seen}c
        [ ! -e "$dir/start" ] || seen=${seen}s
        [ ! -e "$dir/exit" ] || seen=${seen}e
    fi
    printf '%s\0' "${seen:--}"
done
guard "$root" "$uuid"
printf 'end\0'

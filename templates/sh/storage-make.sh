# Makes a directory and those above it, inside the root.
# Arguments: root, uuid, path. Output: none. Exit codes: 0; those of enter.sh; else not made, with words on stderr.
enter "$1" "$2"
rest=$3/
while [ -n "$rest" ]; do
    name=${rest%%/*}
    rest=${rest#*/}
    there "$name" || mkdir -- "./$name" || [ -d "./$name" ] || exit 1
    [ -d "./$name" ] || fail 5 "$name is not a directory"
    sync -- .
    into "$name/."
done

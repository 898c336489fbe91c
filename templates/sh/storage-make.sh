# Makes directories and those above them, inside the root.
# Arguments: root, uuid. Input: paths, one a line. Output: none.
# Exit codes: 0; those of enter.sh; else not all made, with words on stderr.
enter "$1" "$2"
while IFS= read -r path; do
    (
        rest=$path/
        while [ -n "$rest" ]; do
            name=${rest%%/*}
            rest=${rest#*/}
            there "$name" || mkdir -- "./$name" || [ -d "./$name" ] || exit 1
            [ -d "./$name" ] || fail 5 "$name is not a directory"
            sync -- .
            into "$name/."
        done
    ) || exit
done

# Which names are there in a directory of the storage.
# Arguments: root, uuid (may be empty), path of the directory. Input: names, one a line.
# Output: those that are there, NUL-terminated. Exit codes: 0; those of enter.sh.
enter "$1" "$2"
[ -d "./$3" ] || exit 0
into "$3/."
while IFS= read -r name; do
    if there "$name"; then printf '%s\0' "$name"; fi
done

# Writes stdin to a file: whole, flushed and under its name, or not at all.
# Arguments: absolute path, mode (octal), number of bytes that stdin must have.
# Output: none. Exit codes: 0 written; 1 not written, with words on stderr.
set -eu
dir=${1%/*}
new=$(mktemp -- "${dir:-/}/.ondeck-put.XXXXXXXXXX")
trap 'rm -f -- "$new"' EXIT
trap 'exit 1' HUP INT TERM
cat >"$new"
found=$(wc -c <"$new")
if [ "$found" -ne "$3" ]; then
    printf 'only %s of %s bytes came\n' "$found" "$3" >&2
    exit 1
fi
chmod -- "$2" "$new"
sync -- "$new"
mv -fT -- "$new" "$1"
trap - EXIT
sync -- "${dir:-/}"

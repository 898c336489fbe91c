# Writes the beginning of a plain file in the storage to stdout.
# Arguments: root, uuid (may be empty), path, the most bytes to give.
# Output: the bytes. Exit codes: 0; those of enter.sh; else not readable, with words on stderr.
enter "$1" "$2"
into "$3"
[ ! -L "./$last" ] || fail 5 'it is a symbolic link'
there "$last" || fail 3 'nothing of that name'
[ -f "./$last" ] || fail 5 'it is not a plain file'
exec head -c "$4" -- "./$last"

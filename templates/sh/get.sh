# Writes the beginning of a plain file to stdout.
# Arguments: absolute path, the most bytes to give. A symbolic link is followed.
# Output: the bytes. Exit codes: 0 given; 43 no such plain file; else not readable, with words on stderr.
[ -f "$1" ] || exit 43
exec head -c "$2" -- "$1"

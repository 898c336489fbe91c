# Reads a tar whole and gives the checksum of each plain file in it. Nothing is unpacked.
# Arguments: root, uuid (may be empty), path of the tar.
# Output: "PATH", "SIZE", "SHA256  -" for each, NUL-terminated. Exit codes: tar's; those of enter.sh.
enter "$1" "$2"
into "$3"
[ ! -L "./$last" ] || fail 5 'it is a symbolic link'
there "$last" || fail 3 'nothing of that name'
[ -f "./$last" ] || fail 5 'it is not a plain file'
exec tar --extract --file=- --to-command='printf "%s\0%s\0" "$TAR_FILENAME" "$TAR_SIZE"; exec sha256sum -z' <"./$last"

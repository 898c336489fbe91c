# Lists a tar.
# Arguments: root, uuid (may be empty), path of the tar.
# Output: tar's long listing, names quoted as in C. Exit codes: tar's; those of enter.sh.
enter "$1" "$2"
into "$3"
[ ! -L "./$last" ] || fail 5 'it is a symbolic link'
there "$last" || fail 3 'nothing of that name'
[ -f "./$last" ] || fail 5 'it is not a plain file'
exec tar --list --verbose --numeric-owner --quoting-style=c --force-local "--file=./$last"

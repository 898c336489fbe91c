# Goes to a directory of the storage from which data are sent, and runs a command there, such as rsync's sending end.
# Arguments: root, uuid (may be empty), path, the command's words.
# Output, exit codes: the command's; those of enter.sh, 10 higher.
base=50
enter "$1" "$2"
into "$3"
[ ! -L "./$last" ] || fail 5 'it is a symbolic link'
there "$last" || fail 3 'nothing of that name'
[ -d "./$last" ] || fail 5 'it is not a directory'
cd -P -- "./$last" || exit 1
real
[ "$real" = "${now%/}/$last" ] || fail 2 "$real"
shift 3
exec "$@"

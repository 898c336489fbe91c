# Goes to a directory of the storage in which data arrive, makes it where it is not there, and runs a command there,
# such as rsync's receiving end.
# Arguments: root, uuid, path ("DIRECTORY/." = one that is there), the command's words.
# Output, exit codes: the command's; those of enter.sh.
enter "$1" "$2"
into "$3"
if [ "$last" != . ]; then
    if [ -L "./$last" ]; then
        fail 5 'it is a symbolic link'
    elif [ ! -d "./$last" ]; then
        mkdir -- "./$last" || exit 1
    fi
    cd -P -- "./$last" || exit 1
    real
    [ "$real" = "${now%/}/$last" ] || fail 2 "$real"
fi
shift 3
exec "$@"

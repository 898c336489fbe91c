# Lists the symbolic links below a directory.
# Arguments: root, uuid, path. Output: "SIZE MTIME PATH" (PATH relative to the directory), then its target, each
# NUL-terminated. Exit codes: 0; those of enter.sh; else not read whole, with words on stderr.
enter "$1" "$2"
into "$3"
[ ! -L "./$last" ] || fail 5 'it is a symbolic link'
there "$last" || fail 3 'nothing of that name'
exec find -P "./$last" -mindepth 1 -type l -printf '%s %T@ %P\0%l\0'

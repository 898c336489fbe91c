# Says what lies in some directories, without reading any file.
# Arguments: root, uuid, paths. Output: "TYPE SIZE ./PATH" of all that is below each path and of the path itself, each
# NUL-terminated, TYPE as find's %y, "-" where there is nothing. Exit codes: 0; those of enter.sh; else not read whole.
enter "$1" "$2"
shift 2
for path; do
    if there "$path"; then
        set -- "$@" "./$path"
    else
        printf -- '- 0 ./%s\0' "$path"
    fi
    shift
done
[ "$#" -eq 0 ] || exec find -P "$@" -printf '%y %s %p\0'

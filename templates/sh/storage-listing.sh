# Lists a directory.
# Arguments: root, uuid (may be empty), path ("." = the root). Output: "TYPE NAME", NUL-terminated, TYPE as find's %y.
# Exit codes: 0; those of enter.sh; else not read whole, with words on stderr.
enter "$1" "$2"
into "$3/."
exec find -P . -mindepth 1 -maxdepth 1 -printf '%y %f\0'

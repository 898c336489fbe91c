# Reads directories of one directory whole: what is in them before, the checksum of each plain file, what is in them
# after. Stands after many.sh and checksums.sh.
# Arguments: root, uuid (may be empty), path of the directory they lie in. Input: their names, one a line.
# Output: all NUL-terminated: the records of pick; "TYPE SIZE MTIME ./NAME/PATH" (TYPE as find's %y, u = a directory
# that may not be read; after a link comes one more record, its target), the directories themselves too;
# "=hashes CODE"; the records of checksums; "=again CODE"; the first records once more; "=end CODE".
# Exit codes: 0, also when files could not be read; those of enter.sh.
enter "$1" "$2"
into "$3/."
pick d
list() {
    good 'exec find -P "$@" \( -type d ! \( -readable -executable \) -printf "u %s %T@ %p\0" -prune \) \
        -o \( -type l -printf "l %s %T@ %p\0%l\0" \) -o -printf "%y %s %T@ %p\0"'
}
printf '=list\0'
list
printf '=hashes %s\0' "$?"
good 'exec find -P "$@" -type f -print0' 2>/dev/null | checksums
printf '=again %s\0' "$?"
list
printf '=end %s\0' "$?"

# Reads a directory whole: what is in it before, the checksum of each plain file, what is in it after.
# Arguments: root, uuid (may be empty), path. Output: all NUL-terminated, records "TYPE SIZE MTIME PATH" (TYPE as
# find's %y, u = a directory that may not be read; after a link comes one more record, its target); "=hashes CODE";
# "SHA256  ./PATH"; "=again CODE"; the records once more; "=end CODE".
# Exit codes: 0, also when files could not be read; those of enter.sh.
enter "$1" "$2"
into "$3"
[ ! -L "./$last" ] || fail 5 'it is a symbolic link'
there "$last" || fail 3 'nothing of that name'
[ -d "./$last" ] || fail 5 'it is not a directory'
cd -P -- "./$last" || exit 1
real
[ "$real" = "${now%/}/$last" ] || fail 2 "$real"
list() {
    find -P . -mindepth 1 \( -type d ! \( -readable -executable \) -printf 'u %s %T@ %P\0' -prune \) \
        -o \( -type l -printf 'l %s %T@ %P\0%l\0' \) -o -printf '%y %s %T@ %P\0'
}
list
printf '=hashes %s\0' "$?"
find -P . -type f -print0 2>/dev/null | xargs -0 -r sha256sum -z --
printf '=again %s\0' "$?"
list
printf '=end %s\0' "$?"

# Unlinks exactly the files and links that are named on stdin and have that size and time, then the
# directories that are empty. Touches only names .NAME.deleting. Each name is looked up from the storage's directory
# at that moment: once somebody has renamed the directory, nothing more is unlinked.
# Arguments: root, uuid, path. Input: records "TYPE SIZE MTIME ./LAST/PATH", NUL-terminated, then "=end".
# Output: what is left over, relative to the directory, NUL-terminated ("." = the directory alone).
# Exit codes: 0; those of enter.sh, 43 also when it was renamed meanwhile; else not known, with words on stderr.
enter "$1" "$2"
into "$3"
case $last in .?*.deleting) ;; *) fail 6 "$last" ;; esac
[ ! -L "./$last" ] || fail 5 'it is a symbolic link'
there "$last" || fail 3 'nothing of that name'
[ -d "./$last" ] || fail 5 'it is not a directory'
# What stands in both lists stands twice in the sorted one. Without =end from stdin the list is cut off: none is taken.
{
    cat
    printf '=end\0'
    find -P "./$last" -mindepth 1 \( -type f -o -type l \) -printf '%y %s %T@ %p\0'
} | sort -z | uniq -zd | sed -zn -e '1{/^=end$/!q;d}' -e 's/^[fl] [-0-9]* [-0-9.]* //p' | xargs -0 -r rm -f --
find -P "./$last" -depth -mindepth 1 -type d -print0 | xargs -0 -r rmdir --ignore-fail-on-non-empty --
if rmdir -- "./$last" 2>/dev/null; then
    sync -- .
    exit
fi
there "$last" || fail 3 'renamed meanwhile'
sync -- .
if [ -z "$(find -P "./$last" -mindepth 1 -print -quit)" ]; then
    printf '.\0'
else
    find -P "./$last" -mindepth 1 -printf '%P\0'
fi

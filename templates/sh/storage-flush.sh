# Brings copies to the disk: their files, their directories, and the directory in which they lie. Stands after many.sh.
# Arguments: root, uuid, path of the directory they lie in. Input: their names, one a line.
# Output: the records of pick for those that are not there.
# Exit codes: 0 all others are on disk; those of enter.sh; else not, with words on stderr.
enter "$1" "$2"
into "$3/."
pick e
[ -n "$good" ] || exit 0
# All at once first, which is far quicker for many files; then each by its name, which tells of errors.
sync -f -- . || exit 1
{ good 'exec find -P "$@" \( -type f -o -type d \) -print0' || printf '/dev/null/find-failed\0'; } |
    xargs -0 -r sync -- || exit 1
sync -- .

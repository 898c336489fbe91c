# Brings a copy to the disk: its files, its directories, and the directory in which it lies.
# Arguments: root, uuid, path. Output: none.
# Exit codes: 0 all is on disk; those of enter.sh; else not, with words on stderr.
enter "$1" "$2"
into "$3"
there "$last" || fail 3 'nothing of that name'
[ ! -L "./$last" ] || fail 5 'it is a symbolic link'
# All at once first, which is far quicker for many files; then each by its name, which tells of errors.
sync -f -- "./$last" || exit 1
{ find -P "./$last" \( -type f -o -type d \) -print0 || printf '/dev/null/find-failed\0'; } |
    xargs -0 -r sync -- || exit 1
sync -- .

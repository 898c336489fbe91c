# Gives names in one directory other names there, never one that is taken. Stands after many.sh.
# Arguments: root, uuid, path of the directory. Input: lines, by turns the old and the new name.
# Output: NUL-terminated records: "=no CODE NAME" and words for old names that were left alone; "=before", then
# "DEVICE:INODE ./NAME" of the others, old and new; "=after", the same when all was done and on disk; "=end".
# Exit codes: 0, also where some could not be renamed; those of enter.sh; else not on disk, with words on stderr.
enter "$1" "$2"
into "$3/."
good=
while IFS= read -r old && IFS= read -r new; do
    if [ -L "./$old" ]; then
        no 5 "$old" 'it is a symbolic link'
    elif ! there "$old"; then
        no 3 "$old" 'nothing of that name'
    elif there "$new"; then
        no 4 "$old" "$new"
    else
        good="$good./$old
./$new
"
    fi
done
seen() { good "exec stat --printf='%d:%i %n\\0' -- \"\$@\"" 2>/dev/null; }
printf '=before\0'
seen
# An mv that declines to overwrite may call that success: whether it moved is seen by the inode.
printf %s "$good" | xargs -r -d '\n' -n 2 -P 2 mv -nT --
sync -- . || exit 1
printf '=after\0'
seen
printf '=end\0'

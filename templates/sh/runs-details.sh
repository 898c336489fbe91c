# Prints size and parameters of run directories.
# usage: ROOT LIMIT FILE...  stdin: names, each followed by NUL.
# Output for each directory that is there: NAME NUL BYTES NUL FILE NUL LENGTH NUL CONTENT, where FILE is the first of
# the given ones that it has (empty: none) and CONTENT its first LIMIT bytes. Exit: 0, 1 when the root can't be entered.
cd "$1" || exit 1
limit=$2
shift 2
xargs -0 -r sh -c '
limit=$1 count=$2
shift 2
files=
while [ "$count" -gt 0 ]; do files="$files $1"; shift; count=$((count - 1)); done
for name do
    case $name in "" | . | .. | */*) continue ;; esac
    [ -d "./$name" ] && [ ! -L "./$name" ] || continue
    bytes=$(find "./$name" -type f -printf "%s\n" | awk "{ sum += \$1 } END { printf \"%.0f\", sum }")
    found=
    for file in $files; do
        if [ -f "./$name/$file" ]; then found=$file; break; fi
    done
    if [ -n "$found" ] && copy=$(mktemp); then
        head -c "$limit" -- "./$name/$found" >"$copy"
        printf "%s\0%s\0%s\0%s\0" "$name" "$bytes" "$found" "$(wc -c <"$copy")"
        cat "$copy"
        rm -f "$copy"
    else
        printf "%s\0%s\0%s\0%s\0" "$name" "$bytes" "" 0
    fi
done
' sh "$limit" "$#" "$@"

#!/bin/sh
# Lists the files of a run with size and sha256 in checksums.txt.
set -eu
export LC_ALL=C
output=$ONDECK_OUTPUT
cd -- {{ input }}

find . -type f -print0 >"$output/.found"
sort -z "$output/.found" >"$output/.sorted"
# A name with a newline or a backslash is shown with escapes, after a backslash at the beginning of its line.
xargs -0 -r sh -c '
for file do
    sum=$(sha256sum -- "$file") || exit
    size=$(stat -c %s -- "$file") || exit
    case $sum in
    \\*) printf "\\\\%12s  %s\n" "$size" "${sum#?}" ;;
    *) printf "%13s  %s\n" "$size" "$sum" ;;
    esac
done' checksums <"$output/.sorted" >"$output/.checksums"
mv -f "$output/.checksums" "$output/checksums.txt"
rm -f "$output/.found" "$output/.sorted"
wc -l <"$output/checksums.txt"

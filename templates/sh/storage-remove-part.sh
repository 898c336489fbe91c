# Removes a left-over copy of ours, whole. Touches only names .NAME.NUMBER.part, and follows no symbolic link.
# Arguments: root, uuid, path. Output: none.
# Exit codes: 0 it is gone; those of enter.sh; else not all is gone, with words on stderr.
enter "$1" "$2"
case $3 in */*) [ -d "./${3%/*}" ] || exit 0 ;; esac
into "$3"
number=${last%.part}
number=${number##*.}
case $number in '' | *[!0-9]*) fail 6 "$last" ;; esac
case $last in .?*."$number".part) ;; *) fail 6 "$last" ;; esac
[ ! -L "./$last" ] || fail 5 'it is a symbolic link'
rm -rf --one-file-system -- "./$last" || exit 1
sync -- .

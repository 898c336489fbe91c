# Removes left-over copies of ours, whole. Touches only names .NAME.NUMBER.part, and follows no symbolic link. Stands
# after many.sh.
# Arguments: root, uuid, path of the directory they lie in. Input: their names, one a line.
# Output: the records of no for names that were not touched.
# Exit codes: 0 the others are gone; those of enter.sh; else not all is gone, with words on stderr.
enter "$1" "$2"
into "$3/."
good=
while IFS= read -r name; do
    number=${name%.part}
    number=${number##*.}
    case $number in
    '' | *[!0-9]*)
        no 6 "$name" "$name"
        continue
        ;;
    esac
    case $name in
    .?*."$number".part) ;;
    *)
        no 6 "$name" "$name"
        continue
        ;;
    esac
    if [ -L "./$name" ]; then
        no 5 "$name" 'it is a symbolic link'
    elif [ -e "./$name" ]; then
        good="$good./$name
"
    fi
done
good 'exec rm -rf --one-file-system -- "$@"' || exit 1
sync -- .

# Functions for the scripts that work on many names of one directory; stands after enter.sh, runs nothing.
# pick KIND   reads names from stdin, one a line, and sets good to those that are there, as ./NAME, one a line. KIND d
#             takes directories alone, e anything. For each other name, and for links, writes the records "=no CODE NAME"
#             (CODE as fail's) and its words, NUL-terminated.
# no CODE NAME WORDS   writes such records.
# good TEXT...         runs TEXT (sh) with the names of good as its arguments, in as few calls as may be.
no() { printf '=no %s %s\0%s\0' "$1" "$2" "$3"; }
pick() {
    good=
    while IFS= read -r name; do
        if [ -L "./$name" ]; then
            no 5 "$name" 'it is a symbolic link'
        elif ! [ -e "./$name" ]; then
            no 3 "$name" 'nothing of that name'
        elif [ "$1" = d ] && ! [ -d "./$name" ]; then
            no 5 "$name" 'it is not a directory'
        else
            good="$good./$name
"
        fi
    done
}
good() { printf %s "$good" | xargs -r -d '\n' sh -c "$1" ondeck-good; }

# Functions for the scripts that work in a storage; stands before them, runs nothing.
# enter ROOT UUID   goes to the storage's root and proves that it is the right one. Sets here (its real path).
#                   With an empty UUID only the root must be there.
# into PATH         goes to the directory in which PATH (relative to the root) lies. Sets now (its real path) and last.
# there NAME        whether NAME exists in the current directory, be it a broken link.
# Exit codes, with words on stderr (10 more after base=50, for the second storage of a script):
# 40 no root or no .ondeck-storage; 41 another uuid; 42 outside the root; 43 missing; 44 exists; 45 not what it must
# be (a symbolic link, no directory, no plain file); 46 a name that this script does not touch.
unset CDPATH
base=40
fail() {
    code=$((base + $1))
    shift
    printf '%s\n' "$*" >&2
    exit "$code"
}
real() {
    real=$(pwd -P && printf x)
    real=${real%?x}
}
enter() {
    cd -P -- "$1" 2>/dev/null || fail 0 "there is no directory $1 that can be entered"
    real
    here=$real
    if [ -n "$2" ]; then
        [ -f .ondeck-storage ] || fail 0 "there is no file .ondeck-storage in $1"
        found=
        IFS= read -r found <.ondeck-storage || :
        [ "$found" = "$2" ] || fail 1 "$found"
    fi
}
into() {
    case $1 in
    */*) last=${1##*/} now=${1%/*} ;;
    *) last=$1 now=. ;;
    esac
    cd -P -- "./$now" 2>/dev/null || fail 3 "no directory $now"
    real
    now=$real
    case $now in
    "$here" | "${here%/}"/*) ;;
    *) fail 2 "$now" ;;
    esac
}
there() { [ -e "./$1" ] || [ -L "./$1" ]; }

# Function for the scripts about attempts; stands before them, runs nothing.
# guard ROOT UUID   proves that the directory of all attempts is the right one (its .ondeck-storage holds UUID); with an
#                   empty UUID nothing is asked. Else the answer ends there.
# Their answers are fields, each ended by a NUL, the last "end" (or "unmounted").
unset CDPATH
guard() {
    [ -n "$2" ] || return 0
    found=
    { IFS= read -r found <"$1/.ondeck-storage"; } 2>/dev/null
    [ "$found" = "$2" ] || {
        printf 'unmounted\0'
        exit 0
    }
}

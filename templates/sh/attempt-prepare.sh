# Makes the directories of attempts: plain mkdir, then the token, then all other files, each step flushed.
# Arguments: bytes of the list, the text of attempt-prepare-all.sh, root, uuid.
# Input: the list (directory NUL token NUL …), then a tar of their files under absolute names.
exec 3<&0
dd bs=1 count="$1" 2>/dev/null |
    xargs -0 -x -n 100000 sh -c "$2" ondeck-attempt-prepare-all "$3" "$4"

# Lists the directories of all attempts: SOURCE/RUN/JOB/NUMBER below the root.
# Arguments: root, uuid. Answer: their names relative to the root, then an exit code; "end".
guard "$1" "$2"
cd -- "$1" || exit 1
find -P . -mindepth 4 -maxdepth 4 -type d -name '[1-9]*' -printf '%P\0'
printf '%s\0' "$?"
guard "$1" "$2"
printf 'end\0'

# Names the directories at the top of a directory that hold a certain file.
# Arguments: root, uuid (may be empty), path ("." = the root), the file's name as a find pattern.
# Output: names, NUL-terminated. Exit codes: 0; those of enter.sh; else not read whole, with words on stderr.
enter "$1" "$2"
into "$3/."
exec find -P . -mindepth 2 -maxdepth 2 -type f -name "$4" -printf '%h\0'

# Gives the space of the file system on which the storage lies.
# Arguments: root, uuid (may be empty). Output: block size, blocks, free blocks, blocks free for us.
# Exit codes: 0; those of enter.sh; else not known, with words on stderr.
enter "$1" "$2"
exec stat -f -c '%S %b %f %a' -- .

# Proves that the root is there and is the right one.
# Arguments: root, uuid (may be empty). Output: none. Exit codes: 0; those of enter.sh.
enter "$1" "$2"

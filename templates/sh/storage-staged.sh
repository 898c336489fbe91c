# Runs a command in a directory of links that storage-stage.sh has made.
# Arguments: the directory, the command's words. Output, exit codes: the command's.
cd -- "$1" || exit 1
shift
exec "$@"

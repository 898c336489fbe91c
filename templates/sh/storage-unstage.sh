# Removes a directory of links that storage-stage.sh has made.
# Arguments: the directory. Output: none. Exit codes: 0 it is gone; 46 it is none; else not gone, with words on stderr.
case $1 in */ondeck-stage.??????????) ;; *) exit 46 ;; esac
case ${1##*/} in *[!-0-9A-Za-z._]*) exit 46 ;; esac
exec rm -rf --one-file-system -- "$1"

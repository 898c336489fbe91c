# Writes a tar of directories of one storage to a new file in another, and brings it to the disk.
# Holes are written as zeros, hard links as files of their own: each member can be read by itself.
# Arguments: root, uuid, path of the tar; the source's root, uuid; pairs: a directory of the source, the name below it.
# Output: the tar's size in bytes. Exit codes: 0; 1 a file changed meanwhile, with words on stderr; those of
# enter.sh, the source's 10 higher; else not written, with words on stderr.
root=$1 uuid=$2 part=$3 sroot=$4 suuid=$5
shift 5
base=50
enter "$sroot" "$suuid"
pairs=$(($# / 2))
while [ "$pairs" -gt 0 ]; do
    pairs=$((pairs - 1))
    (
        into "$1/$2"
        [ ! -L "./$last" ] || fail 5 "$2 is a symbolic link"
        there "$last" || fail 3 "no $2"
        [ -d "./$last" ] || fail 5 "$2 is not a directory"
    ) || exit
    set -- "$@" -C "${here%/}/$1" "--add-file=$2"
    shift 2
done
base=40
enter "$root" "$uuid"
into "$part"
if there "$last"; then fail 4 "$last"; fi
set -C
tar --create --file=- --format=posix --pax-option=delete=atime,delete=ctime --sort=name --hard-dereference \
    --numeric-owner --no-unquote "$@" >"./$last" || exit
sync -- "./$last" . || exit 2
exec stat -c %s -- "./$last"

# Copies a directory of one storage into a directory of another; what is there already and agrees is kept.
# Arguments: root, uuid, path of the copy; the source's root, uuid (may be empty), path; paths of left-over copies in
# the first storage, whose files are linked where size, time and mode agree.
# Output: none. Exit codes: rsync's; those of enter.sh, the source's 10 higher.
base=50
enter "$4" "$5"
into "$6"
[ ! -L "./$last" ] || fail 5 'it is a symbolic link'
there "$last" || fail 3 'nothing of that name'
[ -d "./$last" ] || fail 5 'it is not a directory'
source=${now%/}/$last
base=40
root=$1 uuid=$2 part=$3
enter "$root" "$uuid"
shift 6
for old; do
    shift
    set -- "$@" "--link-dest=${here%/}/$old"
done
into "$part"
if [ -L "./$last" ]; then
    fail 5 'it is a symbolic link'
elif [ ! -d "./$last" ]; then
    mkdir -- "./$last" || exit 1
fi
exec rsync --recursive --links --times --perms --chmod=Du+rwx,Fu+r,Fug-s --sparse --whole-file \
    "$@" -- "$source/" "./$last/"

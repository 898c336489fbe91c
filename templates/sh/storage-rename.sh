# Gives something in the storage another name in the same directory, never one that is taken.
# Arguments: root, uuid, path, new name. Output: none.
# Exit codes: 0 renamed and on disk; those of enter.sh; else not renamed, with words on stderr.
enter "$1" "$2"
into "$3"
[ ! -L "./$last" ] || fail 5 'it is a symbolic link'
there "$last" || fail 3 'nothing of that name'
if there "$4"; then fail 4 "$4"; fi
id=$(stat -c %d:%i -- "./$last") || exit 1
mv -nT -- "./$last" "./$4" || { if there "$4"; then fail 4 "$4"; fi; exit 1; }
# An mv that declines to overwrite may call that success.
[ "$(stat -c %d:%i -- "./$4")" = "$id" ] || fail 4 "$4"
if there "$last" && [ "$(stat -c %d:%i -- "./$last")" = "$id" ]; then fail 4 "$4"; fi
sync -- .

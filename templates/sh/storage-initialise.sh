# Gives a storage its uuid, for good: an existing one is never written over.
# Arguments: root, uuid. Output: none.
# Exit codes: 0 the root holds this uuid; 40 no root; 41 it holds another; else not written, with words on stderr.
enter "$1" ''
if ! there .ondeck-storage; then
    new=$(mktemp ./.ondeck-new.XXXXXXXXXX) || exit 1
    trap 'rm -f -- "$new"' EXIT
    printf '%s\n' "$2" >"$new" && chmod 644 -- "$new" && sync -- "$new" || exit 1
    ln -T -- "$new" .ondeck-storage 2>/dev/null || there .ondeck-storage || ln -T -- "$new" .ondeck-storage || exit 1
fi
enter "$1" "$2"
sync -- .ondeck-storage .

# Makes a directory of links outside of the storage, by which many of its directories can be sent under other names.
# Arguments: root, uuid (may be empty), path of the directory they lie in. Input: lines, by turns the name of a
# directory and that of its link; an empty line; a tar that holds the links, to "@/NAME" each.
# Output: the path of the new directory. Names that are missing, links or no directories get no link.
# Exit codes: 0; those of enter.sh, 10 higher; else not made, with words on stderr.
base=50
enter "$1" "$2"
into "$3/."
bad=
while IFS= read -r name && [ -n "$name" ] && IFS= read -r link; do
    if [ -L "./$name" ] || [ ! -d "./$name" ]; then
        bad="$bad$link
"
    fi
done
stage=$(mktemp -d "${TMPDIR:-/tmp}/ondeck-stage.XXXXXXXXXX") || exit 1
if ln -s -- "$now" "$stage/@" && tar -x -f - -C "$stage" --no-same-owner && cd "$stage" &&
    printf %s "$bad" | xargs -r -d '\n' rm -f --; then
    printf %s "$stage"
else
    rm -rf -- "$stage"
    exit 1
fi

# Says which commands there are, what time it is, and who asks.
# Arguments: names of commands. Answer: records ended by a NUL: "time SECONDS", "user NAME HOST"; for each command
# "have NAME VERSION" or "lack NAME"; "gnu" and words where find, mv, stat or tar lack what ondeck needs; "end".
printf 'time %s\0' "$(date +%s.%N)"
printf 'user %s %s\0' "$(id -un 2>/dev/null || id -u)" "$(uname -n)"
for name; do
    if command -v "$name" >/dev/null 2>&1; then
        case $name in
        rsync | tar | bash) version=$("$name" --version 2>/dev/null </dev/null | head -n 1) ;;
        openssl) version=$(openssl version 2>/dev/null </dev/null) ;;
        *) version= ;;
        esac
        printf 'have %s %s\0' "$name" "$version"
    else
        printf 'lack %s\0' "$name"
    fi
done
words=$({
    find . -maxdepth 0 -printf '%y %s %T@' >/dev/null &&
        stat -f -c '%S' / >/dev/null &&
        tar --quoting-style=c --version >/dev/null &&
        mv --version >/dev/null && date +%N | grep -q '^[0-9]'
} 2>&1) || printf 'gnu %s\0' "${words:-date knows no fractions of a second}"
printf 'end\0'

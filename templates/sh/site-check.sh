# Tries in a directory what ondeck does there; leaves nothing behind.
# Arguments: root, a unique word. Answer: records "NAME CODE WORDS", each ended by a NUL, CODE 0 where it went well; "end".
root=$1 dir=$1/.ondeck-check-$2
say() { printf '%s %s %s\0' "$1" "$2" "$3"; }
done_with() {
    rm -rf -- "$dir"
    printf 'end\0'
    exit 0
}
words=$(mkdir -- "$dir" 2>&1) || {
    say write 1 "$words"
    done_with
}
cd -- "$dir" || done_with
words=$({ printf 'some words\n' >written && sync written . && [ "$(cat written)" = 'some words' ]; } 2>&1)
say write $? "$words"

# Two claims at the same time: one wins, and who reads back his own content knows it.
printf 'one\n' >.one
printf 'two\n' >.two
ln -T .one claim 2>/dev/null &
first=$!
ln -T .two claim 2>/dev/null &
second=$!
won=0
wait "$first" && won=$((won + 1))
wait "$second" && won=$((won + 1))
found=$(cat claim 2>&1)
case $won:$found in
1:one | 1:two) say link 0 '' ;;
0:*) say link 1 "$(ln -T .one another 2>&1)" ;;
*) say link 1 "$won of two links to one name were made, and it holds $found" ;;
esac

# Files replace each other in one step; a directory never replaces another that holds something.
words=$({ printf 'new\n' >.new && mv -fT .new written && [ "$(cat written)" = new ]; } 2>&1)
code=$?
mkdir old new && : >old/file && : >new/file
if [ "$code" -eq 0 ] && mv -nT new old 2>/dev/null && [ ! -e new ]; then
    code=1 words='a directory was renamed onto another one'
fi
say rename "$code" "$words"
done_with

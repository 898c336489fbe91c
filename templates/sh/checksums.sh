# A function for the scripts that give checksums; runs nothing.
# checksums   reads names that begin with ./ from stdin, NUL-terminated. Writes NUL-terminated records: of sha256sum
#             "SHA256  NAME", which count as they are; of openssl, which is quicker, "SHA256 *NAME", which count only
#             when "=ok" comes after them; "=not" makes those since the last such record void. A file that can't be read
#             has none. Exit code: 0 unless some file could not be read.
checksums() {
    batch='exec sha256sum -z -- "$@"'
    # openssl writes lines: where a name holds a line break they would not be told apart.
    case $(printf abc | openssl dgst -sha256 -r 2>/dev/null) in
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad *'*)
        batch='case $* in *"
"*) exec sha256sum -z -- "$@" ;; esac
exec 4>&1
code=$({ { openssl dgst -sha256 -r "$@" 2>/dev/null; echo "$?" >&3; } | tr "\n" "\0" >&4; } 3>&1)
[ "$code" != 0 ] || { printf "=ok\0"; exit 0; }
printf "\0=not\0"
exec sha256sum -z -- "$@"'
        ;;
    esac
    xargs -0 -r sh -c "$batch" ondeck-checksums
}

# Arguments: root, uuid, directories of attempts.
# Answer: for each five fields: the directory, token, claim, start, exit; "-" not there, "+" and its content, "!" and
# why it can't be read.
guard "$1" "$2"
root=$1 uuid=$2
shift 2
for dir; do
    if [ -d "$dir" ]; then
        ls -a -- "$dir" >/dev/null 2>&1 # over NFS a directory that is read is up to date
        printf '+\0'
    elif [ -e "$dir" ] || [ -L "$dir" ]; then
        printf '!it is no directory\0'
    else
        printf -- '-\0'
    fi
    for file in token claim start exit; do
        if [ ! -e "$dir/$file" ] && [ ! -L "$dir/$file" ]; then
            printf -- '-\0'
        elif [ ! -f "$dir/$file" ]; then
            printf '!it is no plain file\0'
        elif words=$(head -c 4097 -- "$dir/$file" 2>&1 && printf .); then
            printf '+%s\0' "${words%.}"
        else
            printf '!%s\0' "$words"
        fi
    done
done
guard "$root" "$uuid"
printf 'end\0'

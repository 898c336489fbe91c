# Whether something is in the storage.
# Arguments: root, uuid (may be empty), path. Output: "yes" or "no". Exit codes: 0; those of enter.sh.
enter "$1" "$2"
case $3 in */*) [ -d "./${3%/*}" ] || { echo no; exit 0; } ;; esac
into "$3"
if there "$last"; then echo yes; else echo no; fi

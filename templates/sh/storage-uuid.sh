# Gives the uuid of a storage.
# Arguments: root. Output: the uuid and a newline; nothing where the root holds none.
# Exit codes: 0; 40 no root; else not readable, with words on stderr.
enter "$1" ''
there .ondeck-storage || exit 0
exec head -n 1 -- .ondeck-storage

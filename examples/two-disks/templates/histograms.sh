#!/bin/sh
# Job script of the module `histograms`. Here it only counts bytes, so that the example can be tried; call your own
# program instead. In a template that ends in .sh each value is quoted for the shell.
set -eu
cd -- {{ input }}

for file in *.dat; do
    printf '%s %s\n' "$file" "$(wc -c <"$file")"
done >"$ONDECK_OUTPUT/sizes.txt"
printf 'run %s, %s bins\n' {{ run.name }} {{ module.options.bins }}

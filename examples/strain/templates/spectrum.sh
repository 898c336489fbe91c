#!/bin/sh
# Job script of the module `spectrum`: lines.json, asd.png and qtransform.png of one run.
# In a template that ends in .sh each value is quoted for the shell.
set -eu

exec {{ module.options.python }} {{ module.options.program }} --input {{ input }} --output "$ONDECK_OUTPUT"

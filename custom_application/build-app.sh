#!/bin/sh
# The platform sources this file (sh) while it makes the image, in the folder of the app: nothing here may end the
# shell early with success.
set -eu

# The build needs no type checker: development dependencies stay out of the image.
bun install --frozen-lockfile --production
bun run build

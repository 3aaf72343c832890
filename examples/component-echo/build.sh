#!/bin/sh
# Build plugin.component.wasm. Needs: pip install componentize-py==0.25.1
set -eu
cd "$(dirname "$0")"
out="${1:-plugin.component.wasm}"
componentize-py -d ../../wit/host/1.0.0 -d ../../wit/plugin/1.0.0 -w yoi:plugin/instance@1.0.0 \
    componentize app -p . -o "$out"

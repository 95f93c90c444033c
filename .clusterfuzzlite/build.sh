#!/bin/bash -eu
# Build each harness of fuzz/ into one file that needs no Python, with its seeds and its dictionary beside it.
cd "$SRC/caas_trio"
python3 -m pip install . trustme

# The sources of the package go along: they are what is instrumented, and told apart by, at run time.
package=$(python3 -P -c 'import importlib.util; print(*importlib.util.find_spec("caas_trio").submodule_search_locations)')
for path in fuzz/fuzz_*.py; do
  harness=$(basename -s .py "$path")
  name=${harness#fuzz_}
  compile_python_fuzzer "$path" --paths . --hidden-import "fuzz.checks.$name" --collect-submodules caas_trio \
    --add-data "$package:caas_trio" --add-data "fuzz/lines.dict:fuzz"
  (cd "fuzz/corpus/$name" && python3 -m zipfile -c "$OUT/${harness}_seed_corpus.zip" ./*)
  cp fuzz/lines.dict "$OUT/$harness.dict"
done

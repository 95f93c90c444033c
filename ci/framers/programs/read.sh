# The shell's `read -r`, with an empty IFS: what a script of bash takes a line for.
LC_ALL=C
while IFS= read -r line; do
    printf '{"line": "%s"}\n' "$(printf %s "$line" | od -An -v -tx1 | tr -d ' \n')"
done
printf '{"end": "%s"}\n' "$(printf %s "$line" | od -An -v -tx1 | tr -d ' \n')"

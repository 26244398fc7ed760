# Does a .NET program run in dom0, and what does its start cost? The first start reads it from the disk.

for start in first second third; do
    before=$(now_cs)
    if output=$(/payload/hello/Hello 2>&1); then verdict=ok; else verdict=FAIL; fi
    result "dotnet-$start-start" $verdict "$(($(now_cs) - before)) cs: ${output##*$'\n'}"
done

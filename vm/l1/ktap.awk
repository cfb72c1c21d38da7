# SPDX-License-Identifier: GPL-2.0-only
# Results of KUnit (KTAP) as TAP. A group (suite, or test with parameters) is reported only if it failed by itself.
function report(ok, name)
{
	failed += !ok
	printf "%sok %d - %s\n", ok ? "" : "not ", ++n, name
}
BEGIN { print "TAP version 13" }
{
	match($0, /^ */)
	depth = RLENGTH / 4
	text = substr($0, RLENGTH + 1)
}
text ~ /^# Subtest: / {
	group[depth] = substr(text, 12) ": "
	before[depth] = failed
	next
}
text ~ /^(not )?ok / {
	ok = text ~ /^ok /
	sub(/^(not )?ok [0-9]+ (- )?/, "", text)
	if (!depth)
		done++
	for (i = depth; i; i--)
		text = group[i] text
	if (!((depth + 1) in group))
		report(ok, text)
	else if (!ok && failed == before[depth + 1])
		report(0, text)
	delete group[depth + 1]
	next
}
text ~ /^1\.\./ {
	if (!depth)
		planned += substr(text, 4)
	next
}
text !~ /^(KTAP version|# .*pass:[0-9]|# Totals:|# module:)/ {
	sub(/^# /, "", text)
	print "# " text
}
END {
	if (!n || done != planned)
		report(0, "all suites ran to their end")
	printf "1..%d\n", n
	exit failed > 0
}

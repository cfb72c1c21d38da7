# SPDX-License-Identifier: GPL-2.0-only
# What the load did and what went wrong, as one line. Input: the kernel log (standard
# input), the uptime, the disks' stat files, the files of the admin workers, lanes and sweep.

FILENAME == "" || FILENAME == "-" {
	if (/Linux version/)
		complete = 1
	if (/I\/O [Ee]rror|critical [a-z]+ error|genctr mismatch|invalid id [0-9]+ completed|lost async page write/)
		io++
	if (/resetting controller|reset controller|will reset|controller is down|[Rr]emoving after|probe failure|not ready/)
		resets++
	if (/[^_]timeout|Abort status|completion polled|blocked for more than/)
		timeouts++
	if (/WARNING:|BUG:|Oops|Call Trace|nobody cared|general protection/)
		other++
	next
}

FILENAME ~ /uptime$/ {
	uptime = $1
	next
}

FILENAME ~ /stat$/ {
	reads += $1
	writes += $5
	next
}

FILENAME ~ /admin\./ {
	admin += $1
	admin_errors += $2
	if ($3 > longest)
		longest = $3
	next
}

FILENAME ~ /sweep$/ {
	swept = $1
	stale = $2
	io += $3
	next
}

FILENAME ~ /\.passes$/ { passes++ }
FILENAME ~ /\.io$/ { io++ }
FILENAME ~ /\.verify$/ { verify++ }

END {
	printf "uptime=%s ", uptime
	printf "admin=%d admin_errors=%d admin_longest_ms=%d ", admin, admin_errors, longest
	printf "reads=%d writes=%d passes=%d ", reads, writes, passes
	printf "io_errors=%d verify_errors=%d resets=%d timeouts=%d ", io, verify, resets, timeouts
	printf "swept=%d stale=%d ", swept, stale
	printf "other=%d log_lost=%d\n", other, !complete
}

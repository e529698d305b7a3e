# Kills the command of $dir, whose process group is $pid if that is known, and
# leaves the mark timedout if $mark is set; see supervise_kill.go. Only builtins: there may be no room for another process.
if [ -z "$pid" ]; then
	set -- "$dir"/pid.*
	[ -e "$1" ] || exit 3
	pid=${1##*.}
fi
[ -z "$mark" ] || : >"$dir/timedout"
kill -KILL "-$pid" 2>/dev/null || kill -KILL "$pid" 2>/dev/null
# What job control has put into other groups of the same session. A few rounds: they may be forking.
round=0 found=1
while [ $found = 1 ] && [ $round -lt 20 ]; do
	round=$((round + 1)) found=0
	for stat in /proc/[0-9]*/stat; do
		{ read -r line <"$stat"; } 2>/dev/null || continue
		set -- ${line##*) }
		if [ "$4" = "$pid" ] && [ "$1" != Z ]; then
			kill -KILL "${line%% *}" 2>/dev/null && found=1
		fi
	done
done
exit 0

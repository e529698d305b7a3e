# Runs one long command detached from whoever asked for it; see supervise.go.
# POSIX sh, also run by bash. It is given in ODDISH_RUN_MAIN and evaluated from there, so that
# `ps` in the sandbox stays readable. Its parameters are in the environment too:
# ODDISH_RUN_DIR, _OUT, _LIMIT, _SCRIPT (the command), _LIVE and _OFF. The command sees none of them.
# State in $dir is the names of empty files, because names appear whole and also on a full disk:
# runner.PID.TICK.SECOND (this supervisor and when it began), pid.N (the command's process group),
# end.STATUS, and flushed, truncated, timedout.
# What the caller must know goes to stderr, one "oddish-run: ..." line each;
# stdout carries the bytes of $out from offset $off when $live is set.

say() { printf 'oddish-run: %s\n' "$*" >&2; }

# A session of its own, so that the command outlives this one's process group
# and can be killed as a group. Without setsid, bash's job control gives at least the group.
# No "&" on the way to the command: it would leave the command with SIGINT ignored for good.
detach='detach() {
	if [ "$ODDISH_RUN_SETSID" ]; then setsid "$@"; else bash -c "set -m; \"\$@\"; exit \$?" bash "$@"; fi
}'

# What becomes the command itself.
ODDISH_RUN_INNER='
: >"$ODDISH_RUN_DIR/pid.$$"
trap "" PIPE # the caller may have gone already
echo "pid $$" >&3
exec 2>&1 3>&-
trap - PIPE
script=$ODDISH_RUN_SCRIPT
unset ODDISH_RUN_DIR ODDISH_RUN_OUT ODDISH_RUN_LIMIT ODDISH_RUN_SCRIPT ODDISH_RUN_START ODDISH_RUN_SETSID ODDISH_RUN_INNER
command -v bash >/dev/null && exec bash -c "$script"
exec sh -c "$script"'

# The detached supervisor. fd 3 leads to watch() and may be gone when the command ends.
# The capper is cat under a file size limit (in blocks of 512 bytes in sh): unlike head -c it writes
# every byte at once. After the limit it keeps draining, so that the program neither blocks nor sees a SIGPIPE.
ODDISH_RUN_RUNNER=$detach'
unset ODDISH_RUN_RUNNER
mkdir -m 700 "$ODDISH_RUN_DIR" || { echo taken >&3; exit; }
dir=$ODDISH_RUN_DIR
read -r _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ tick _ </proc/self/stat
: >"$dir/runner.$$.${tick:-0}.$ODDISH_RUN_START"
{
	detach sh -c "eval \"\$ODDISH_RUN_INNER\"" # its stderr is still /dev/null, so no shell tells there that it was killed
	code=$?
	trap "" PIPE
	exec >/dev/null
	: >"$dir/end.$code"
	echo "end $code" >&3
} | {
	# In the background, so that nobody waits for what a daemon may hold open.
	exec 4<&0 3>&- </dev/null
	(
		trap "" XFSZ
		(ulimit -f $((ODDISH_RUN_LIMIT / 512)); exec cat <&4 >>"$ODDISH_RUN_OUT") || {
			: >"$dir/truncated"
			printf "\n[oddish: output cut here, its limit is %s bytes]\n" "$ODDISH_RUN_LIMIT" >>"$ODDISH_RUN_OUT"
			cat <&4 >/dev/null
		}
		: >"$dir/flushed"
	) &
}'

# ended sets code once the command has ended.
ended() {
	set -- "$dir"/end.*
	[ -e "$1" ] || return 1
	code=${1##*.}
}

# runner sets pid, tick and start of the supervisor, once it has told them.
runner() {
	set -- "$dir"/runner.*
	[ -e "$1" ] || return 1
	start=${1##*.}
	set -- "${1%.*}"
	tick=${1##*.}
	set -- "${1%.*}"
	pid=${1##*.}
}

# alive tells whether the supervisor still runs: its pid, not taken over by another process, not a zombie.
alive() {
	runner || return 1
	{ read -r _ _ s _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ now _ <"/proc/$pid/stat"; } 2>/dev/null || return 1
	[ "$s" != Z ] && [ "${now:-0}" = "$tick" ]
}

nap() { sleep "$1" 2>/dev/null || sleep 1; }

# emit writes what $out has gained since the last time, up to its size of now.
emit() {
	size=$(stat -c %s "$out" 2>/dev/null || wc -c <"$out" 2>/dev/null) || return 0
	[ "${size:-0}" -gt "$off" ] || return 0
	tail -c +$((off + 1)) "$out" | head -c $((size - off))
	off=$size
}

# emit_rest is the last emit. Nothing, and everything at once, are the usual cases, and cost no
# process and one: what a fork costs in a sandbox is most of what a short command takes.
emit_rest() {
	[ -s "$out" ] || return 0
	if [ "$off" = 0 ]; then
		head -c $((ODDISH_RUN_LIMIT + 512)) "$out"
	else
		emit
	fi
}

# follow emits about once a second until TERM, then a last time.
# Its sleep must not hold our stdout, which would delay the end of the exec.
follow() {
	stop=
	trap 'stop=1' TERM
	while :; do
		[ "$stop" ] || { sleep 1 </dev/null >/dev/null 2>&1 & wait $!; }
		last=$stop
		emit
		[ -z "$last" ] || return 0
	done
}

follower=
begin_follow() {
	[ "$live" ] || return 0
	follow </dev/null &
	follower=$!
}

# end_follow ends the follower; one that TERM hit before its trap has emitted nothing yet. Without
# one, hear has emitted so far.
end_follow() {
	[ "$live" ] || return 0
	if [ "$follower" ]; then
		kill "$follower" 2>/dev/null
		wait "$follower" 2>/dev/null || emit
	else
		emit_rest
	fi
}

# hear reads the runner's next message. In bash, whose read can time out, it emits meanwhile and
# no follower is needed.
hear() {
	if [ -z "$live" ] || [ "$follower" ]; then
		read -r what value
		return
	fi
	until read -r -t 1 what value; do
		[ $? -gt 128 ] || return 1 # the end of fd 0, not of the time
		emit
	done
}

# attach waits for a command that another call started.
attach() {
	now=$(date +%s) start=
	runner
	say attached $((now - ${start:-$now}))
	missed=0 step=0.2
	until ended; do
		if ! alive; then
			ended && break
			# no runner yet: it may be about to write its name
			missed=$((missed + 1))
			if runner || [ $missed -gt 20 ]; then return 1; fi
		fi
		nap $step
		[ $missed -gt 0 ] || step=1
	done
}

# report tells the end once the output is complete, or after a second when a
# process that was left behind still holds it.
report() {
	tries=0
	until [ -e "$dir/flushed" ] || [ $tries -ge 60 ]; do
		tries=$((tries + 1))
		nap 0.01
	done
	end_follow
	timedout=0 truncated=0
	[ -e "$dir/timedout" ] && [ "$code" = 137 ] && timedout=1
	[ -e "$dir/truncated" ] && truncated=1
	say end "$code" $timedout $truncated
}

lost() {
	end_follow
	say lost
}

# watch hears from the runner of this call; the end of fd 0 without an end means that it was killed.
watch() {
	[ "$BASH_VERSION" ] || begin_follow
	code= what=
	while hear; do
		case $what in
		pid) say pid "$value" ;;
		end) code=$value; break ;;
		taken) break ;;
		esac
	done
	if [ "$what" = taken ]; then
		[ "$follower" ] || begin_follow
		attach || { lost; return; }
	elif [ -z "$code" ]; then
		ended || { lost; return; }
	fi
	report
}

# mine: the folder was made by the user who runs the command, not planted by another one.
# Root removes what others planted; nobody else can touch what root made (the base is sticky).
mine() {
	[ ! -L "$dir" ] && [ -O "$dir" ] && return 0
	[ "$(id -u)" = 0 ] && rm -rf "$dir" && return 1
	say foreign
	exit 0
}

unset ODDISH_RUN_MAIN
dir=$ODDISH_RUN_DIR out=$ODDISH_RUN_OUT live=$ODDISH_RUN_LIVE off=$ODDISH_RUN_OFF
unset ODDISH_RUN_LIVE ODDISH_RUN_OFF

say begin
[ -d "${dir%/*}" ] || { say nobase; exit 0; }
if { [ -e "$dir" ] || [ -L "$dir" ]; } && mine; then
	begin_follow
	if attach; then report; else lost; fi
	exit 0
fi

ODDISH_RUN_SETSID=
if command -v setsid >/dev/null; then
	ODDISH_RUN_SETSID=1
elif ! command -v bash >/dev/null; then
	say nosetsid
	exit 0
fi
if [ -e "$out" ] || [ -L "$out" ]; then rm -f "$out"; fi
{ : >"$out"; } 2>/dev/null || { say nooutput; exit 0; }
ODDISH_RUN_START=${EPOCHSECONDS:-$(date +%s)}
export ODDISH_RUN_START ODDISH_RUN_SETSID ODDISH_RUN_INNER ODDISH_RUN_RUNNER
eval "$detach"
detach sh -c 'eval "$ODDISH_RUN_RUNNER"' 3>&1 </dev/null >/dev/null 2>&1 | watch

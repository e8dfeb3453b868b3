#!/bin/bash
# Reads what has changed since the last run and hands it to a target. Made to be run by cron or by a
# systemd timer, see "Every night" in README.md. Needs bash 4.1 or later, coreutils and flock
# (util-linux). It says nothing where all goes well; else it shows the end of the log on stderr.
#
# Exit codes: the tap's where that failed, else the target's; 75 where another run is under way;
# 64 for a mistake in the settings below; 1 where a file cannot be written.

set -u

# Paths are relative to the folder of this script.
cd -- "$(dirname -- "$0")" || exit 1

say() {
  echo "sync.sh: $*" >&2
}

# Another account or another target has a state of its own: with the state of the one, the other
# would miss what only the first has loaded.
if [ -n "${SYNC_CONFIG-}${SYNC_TARGET-}" ] && [ -z "${SYNC_STATES-}" ]; then
  say "SYNC_CONFIG or SYNC_TARGET is set: set SYNC_STATES too, for each account and each target" \
    "needs a state file of its own"
  exit 64
fi

# The settings. Each can be set in the environment instead, so that several accounts and targets
# share this script. Commands are split at spaces.
: "${SYNC_TAP:=tap/bin/tap-helpscout}"
: "${SYNC_PYTHON:=tap/bin/python}" # any Python 3
: "${SYNC_TARGET:=target/bin/target-jsonl}"
: "${SYNC_CONFIG:=config.json}"
: "${SYNC_STATES:=states.jsonl}" # what the target writes to its stdout
: "${SYNC_KEEP_STATES:=100}"     # lines of it
: "${SYNC_LOG_BYTES:=1000000}" # a run that finds more begins a new log: some weeks of nights
: "${SYNC_KEEP_LOGS:=12}"      # old ones, of which tap.log.1 is the latest
# tap.log beside states.jsonl, postgres-tap.log beside postgres-states.jsonl
name=${SYNC_STATES%.jsonl}
: "${SYNC_LOG:=${name/%states/tap}.log}"
# Without a catalog everything is read.
if [ -z "${SYNC_CATALOG-}" ] && [ -e catalog.json ]; then
  SYNC_CATALOG=catalog.json
fi

read -ra tap <<< "$SYNC_TAP"
read -ra target <<< "$SYNC_TARGET"
state=$SYNC_STATES.last # the one line that the tap is given
lock=$SYNC_STATES.lock

for number in "$SYNC_KEEP_STATES" "$SYNC_LOG_BYTES" "$SYNC_KEEP_LOGS"; do
  if ! [[ $number =~ ^[1-9][0-9]{0,14}$ ]]; then
    say "SYNC_KEEP_STATES, SYNC_LOG_BYTES and SYNC_KEEP_LOGS must be whole numbers from 1 on," \
      "not '$number'"
    exit 64
  fi
done

now() {
  date -u +%Y-%m-%dT%H:%M:%SZ
}

# The tap and the target inherit the lock: while one of them is alive, although this script was
# killed, no other run begins.
take_lock() {
  local code other=
  exec {lock_fd}>> "$lock" || exit 1
  flock --nonblock --conflict-exit-code 75 "$lock_fd"
  code=$?
  if [ "$code" = 75 ]; then
    read -r other < "$lock"
    say "another run with $PWD/$SYNC_STATES is under way: ${other:-it has just begun}"
  elif [ "$code" != 0 ]; then
    say "cannot lock $PWD/$lock"
  fi
  [ "$code" = 0 ] || exit "$code"
  echo "process $$ or what it started, since $(now)" > "$lock"
}

rotate_log() {
  local i
  if [ ! -e "$SYNC_LOG" ] || [ "$(stat -c %s -- "$SYNC_LOG")" -lt "$SYNC_LOG_BYTES" ]; then
    return
  fi
  for ((i = SYNC_KEEP_LOGS; i > 1; i--)); do
    [ ! -e "$SYNC_LOG.$((i - 1))" ] || mv -f -- "$SYNC_LOG.$((i - 1))" "$SYNC_LOG.$i"
  done
  mv -f -- "$SYNC_LOG" "$SYNC_LOG.1"
}

# From here on stderr is the log; the caller's is kept for what the caller has to know.
begin_log() {
  if ! exec {caller}>&2 2>> "$SYNC_LOG"; then
    say "cannot write the log $PWD/$SYNC_LOG"
    exit 1
  fi
  log_size=$(stat -c %s -- "$SYNC_LOG")
  SECONDS=0
  echo "$(now) sync.sh begins: $SYNC_CONFIG to ${target[0]}" >&2
}

# Ends the log and the script with an exit code; the rest says what it is made of.
end() {
  local code=$1 took=$SECONDS shown
  shift
  printf '%s sync.sh ends with exit code %d after %d:%02d:%02d%s\n' "$(now)" "$code" \
    $((took / 3600)) $((took / 60 % 60)) $((took % 60)) "${*:+ ($*)}" >&2
  if [ "$code" != 0 ]; then
    {
      echo "sync.sh: failed with exit code $code. $(realpath -- "$SYNC_LOG") ends with:"
      # What the tap says of its copy of the last state is true of the file that the user knows.
      shown=$(tail -c "+$((log_size + 1))" -- "$SYNC_LOG" | tail -n 20)
      printf '%s\n' "${shown//"$state"/$SYNC_STATES}"
    } >&"$caller"
  fi
  : > "$lock"
  exit "$code"
}

# Writes the last whole state to $state, or removes that where there is none. A power cut may have
# torn the last line, or filled it with zero bytes; a run that failed may have written none.
# Only whole states are kept in the file, for a line that was torn would spoil the next as well.
find_state() {
  "$SYNC_PYTHON" -I - "$SYNC_STATES" "$state" "$SYNC_KEEP_STATES" <<'END'
import contextlib
import json
import os
import shutil
import sys


def is_state(line):
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and "bookmarks" in document


def replace(path, content):
    """At any time, power cuts included, there is the old file or the new one."""
    path = os.path.realpath(path)
    with open(path + ".new", "wb") as file:
        shutil.copymode(path, file.name)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(file.name, path)


def main(states_path, state_path, keep):
    with contextlib.suppress(FileNotFoundError):
        os.remove(state_path)
    with open(states_path, "ab+") as file:  # made where it is missing
        file.seek(0)
        content = file.read()
    lines = [line for line in content.splitlines() if line.strip()]
    states = [line for line in lines if is_state(line)]
    others = len(lines) - len(states)
    if others:
        of = "the only line" if len(lines) == 1 else f"{others} of {len(lines)} lines"
        print(f"{states_path}: {of} passed over: not a whole state")
    if not states:
        print(f"{states_path} has no state: reading everything since start_date")
        if others:
            os.replace(states_path, states_path + ".unreadable")
            print(f"{states_path} is now {states_path}.unreadable")
        return
    kept = b"".join(line + b"\n" for line in states[-keep:])
    if kept != content:
        replace(states_path, kept)
    with open(state_path, "wb") as file:
        file.write(states[-1] + b"\n")
    print(f"reading on from the last state in {states_path}")


try:
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
except OSError as error:
    sys.exit(f"sync.sh: cannot read and replace {sys.argv[1]}: {error}")
END
}

# Makes a pipe: $to_target is the tap's end, $from_tap the target's. With `tap | target`, bash would
# not say which process is the tap, which `stop` has to know. To open one end of a named pipe waits
# until the other is opened as well, unless both are open already: hence $both.
make_pipe() {
  local pipe=$SYNC_STATES.pipe both
  rm -f -- "$pipe"
  # shellcheck disable=SC2094
  mkfifo -- "$pipe" && exec {both}<> "$pipe" {from_tap}< "$pipe" {to_target}> "$pipe" || return
  rm -f -- "$pipe"
  exec {both}>&-
}

# The tap ends after a whole line, and the target stores what it has received. A second signal ends
# the target too.
# shellcheck disable=SC2329
stop() {
  signalled=yes
  echo "sync.sh: SIG$1: ending" >&2
  [ -z "$stopping" ] || [ -z "$target_pid" ] || kill "$target_pid" 2> /dev/null
  stopping=yes
  [ -z "$tap_pid" ] || kill "$tap_pid" 2> /dev/null
}

# The exit code of a child. A signal ends bash's `wait`, not the child.
wait_for() {
  local code
  while
    signalled=
    wait "$1"
    code=$?
    [ -n "$signalled" ]
  do :; done
  return "$code"
}

# Runs both; sets tap_code and target_code.
run() {
  local options=(--config "$SYNC_CONFIG")
  [ ! -e "$state" ] || options+=(--state "$state")
  [ -z "${SYNC_CATALOG-}" ] || options+=(--catalog "$SYNC_CATALOG")
  make_pipe || end 1 "no pipe could be made in $PWD"
  # Without `<&0`, for a config that comes in by /dev/stdin, a process in the background has none.
  "${tap[@]}" "${options[@]}" <&0 >&"$to_target" \
    {to_target}>&- {from_tap}<&- {caller}>&- &
  tap_pid=$!
  "${target[@]}" <&"$from_tap" >> "$SYNC_STATES" \
    {to_target}>&- {from_tap}<&- {caller}>&- &
  target_pid=$!
  [ -z "$stopping" ] || kill "$tap_pid" # it was too early for the signal to find the tap
  exec {to_target}>&- {from_tap}<&-
  wait_for "$tap_pid"
  tap_code=$?
  wait_for "$target_pid"
  target_code=$?
}

take_lock
rotate_log
begin_log
stopping=''
tap_pid=''
target_pid=''
trap 'stop TERM' TERM
trap 'stop INT' INT
trap 'stop HUP' HUP
find_state >&2 || end 1
run
sync -f -- "$SYNC_STATES" # a power cut takes nothing of this run any more
if [ "$tap_code" != 0 ]; then
  code=$tap_code
else
  code=$target_code
fi
end "$code" "tap $tap_code, target $target_code"

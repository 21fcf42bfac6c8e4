#!/bin/sh
### BEGIN INIT INFO
# Provides:          @NAME@
# Required-Start:    $network $local_fs
# Required-Stop:     $network $local_fs
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: Jump Client of @SITE@
### END INIT INFO
# Exit status as in the Linux Standard Base: 0 done or running, 1 failed or dead, 2 wrong usage, 3 not running, 4 not permitted or not known.
# A start that fails says why, in the last lines of the client's log.

directory=@DIRECTORY@
user=@USER@
agent=$directory/gatebook-agent
state=$directory/state
description=$state/installation.json
pid_file=$state/agent.pid
log=$state/agent.log

say() {
  printf '%s: %s\n' '@NAME@' "$1"
}

# The number of the process that runs; none if that number is another program's by now.
running() {
  [ -r "$pid_file" ] || return 1
  number=
  read -r number <"$pid_file" || [ -n "$number" ] || return 1
  case $number in '' | *[!0-9]*) return 1 ;; esac
  program=$(readlink "/proc/$number/exe" 2>/dev/null) || return 1
  [ "$program" = "$agent" ] || [ "$program" = "$agent (deleted)" ]
}

# Whether it has not been with its site: until then it keeps the key of its installer.
is_new() {
  grep -q '"key_info"' "$description" 2>/dev/null
}

start() {
  if running; then
    say "runs already as process $number"
    return 0
  fi
  if [ ! -x "$agent" ]; then
    say "is not installed in $directory"
    return 1
  fi
  umask 077
  if [ -f "$log" ] && [ "$(wc -c <"$log")" -gt 1048576 ]; then mv -f "$log" "$log.1"; fi
  rm -f "$pid_file"
  # Read from its end on, and also when the client takes itself and its log away.
  if ! { : >>"$log" && exec 3<"$log"; }; then
    say "can't write $log"
    return 1
  fi
  cat <&3 >/dev/null
  nohup "$agent" run --installation "$directory" >>"$log" 2>&1 </dev/null 3<&- &
  started=$!
  waited=0
  while [ "$waited" -lt 10 ] && kill -0 "$started" 2>/dev/null && ! running; do
    sleep 1
    waited=$((waited + 1))
  done
  # A site may refuse a client that comes for the first time: what came of its first try is said here.
  waited=0
  said=
  while [ "$waited" -lt 10 ] && running && is_new; do
    sleep 1
    waited=$((waited + 1))
    said=$said$(cat <&3)
    case $said in *'coming back after a pause'*) break ;; esac
  done
  if running && [ -f "$description" ]; then
    say "runs as process $number"
    if is_new; then say "its site has not taken it yet; it keeps trying, and says why in $log"; fi
    return 0
  fi
  wait "$started"
  say "ended at once with status $?"
  { printf '%s\n' "$said" && cat <&3; } | grep . | tail -n 3
  return 1
}

stop() {
  if ! running; then
    rm -f "$pid_file"
    say "does not run"
    return 0
  fi
  kill -TERM "$number" || return 1
  waited=0
  while running; do
    if [ "$waited" -ge 30 ]; then kill -KILL "$number"; fi
    if [ "$waited" -ge 40 ]; then
      say "does not stop"
      return 1
    fi
    sleep 1
    waited=$((waited + 1))
  done
  rm -f "$pid_file"
  say "stopped"
}

status() {
  if running; then
    say "runs as process $number"
    return 0
  fi
  if [ -e "$pid_file" ]; then
    say "does not run, though it was not stopped"
    return 1
  fi
  say "does not run"
  return 3
}

main() {
  case ${1-} in
    start | stop | restart | status) ;;
    *)
      printf 'usage: %s start|stop|restart|status\n' "$directory/init-script" >&2
      return 2
      ;;
  esac
  if [ "$(id -u)" -eq 0 ] && [ "$user" != root ]; then
    # The client never runs as root unless root was named as its user.
    exec runuser -u "$user" -- "$directory/init-script" "$1"
  fi
  if [ "$(id -un)" != "$user" ]; then
    say "only $user and root may do that"
    return 4
  fi
  cd / || return 1
  case $1 in
    start) start ;;
    stop) stop ;;
    restart) stop && start ;;
    status) status ;;
  esac
}

main "$@"; exit $?

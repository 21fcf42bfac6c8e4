#!/bin/sh
# gatebook-package 1 @STUB@ @DESCRIPTOR@ @PROGRAM@
# Installs a Jump Client of @SITE@. Run it with sh, for example:
#   sh ./@NAME@ @EXAMPLE@
# Behind this script lie a description of the installer, which holds its key, the agent program, and a SHA-256 of all before.

say() {
  printf '%s: %s\n' '@NAME@' "$1" >&2
}

# An entry in the system's log; in a file where no syslog listens.
log() {
  socket=${GATEBOOK_AGENT_LOG_SOCKET:-/dev/log}
  if [ -S "$socket" ] && command -v logger >/dev/null 2>&1; then
    logger ${GATEBOOK_AGENT_LOG_SOCKET:+-u "$socket"} -p user.err -t bomgar-pec -- "$1" 2>/dev/null && return 0
  fi
  if [ "$(id -u)" -eq 0 ]; then file=/var/log/bomgar-pec.log; else file=${HOME:-}/.local/state/bomgar-pec.log; fi
  file=${GATEBOOK_AGENT_LOG_FILE:-$file}
  mkdir -p -- "${file%/*}" 2>/dev/null
  # Neither through a link nor into a pipe.
  if [ -L "$file" ] || { [ -e "$file" ] && [ ! -f "$file" ]; }; then return 1; fi
  printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" 2>/dev/null >>"$file"
}

fail() {
  say "$1"
  log "installation failed: $1" || :
  exit 1
}

sum() {
  if command -v sha256sum >/dev/null 2>&1; then
    sha256sum | cut -d ' ' -f 1
  elif command -v shasum >/dev/null 2>&1; then
    shasum -a 256 | cut -d ' ' -f 1
  elif command -v openssl >/dev/null 2>&1; then
    openssl dgst -sha256 -r | cut -d ' ' -f 1
  fi
}

main() {
  umask 077
  for word in "$@"; do
    if [ "$word" = --silent ]; then exec >/dev/null 2>&1; fi
  done
  stub=@STUB@
  descriptor=@DESCRIPTOR@
  program=@PROGRAM@
  trailer=65
  package=$0
  [ -f "$package" ] && [ -r "$package" ] || fail "the package can't be read; run it as: sh ./@NAME@"
  size=$(wc -c <"$package") || fail "the package can't be read"
  if [ "$((size))" -ne "$((stub + descriptor + program + trailer))" ]; then
    fail "the package is incomplete or was altered; download it again"
  fi
  has=$(head -c "$((size - trailer))" "$package" | sum)
  [ -n "$has" ] || fail "sha256sum, shasum or openssl is needed to check the package"
  says=$(tail -c "$trailer" "$package")
  [ "$has" = "$says" ] || fail "the package was altered or damaged; download it again"

  temporary=${TMPDIR:-/tmp}
  if [ -n "$(find "$temporary/." -prune -perm -0002 ! -perm -1000 2>/dev/null)" ]; then
    fail "$temporary is writable for everyone and has no sticky bit; set TMPDIR to another folder"
  fi
  folder=$(mktemp -d "$temporary/bomgar-pec.XXXXXXXXXX") || fail "no folder can be made in $temporary; set TMPDIR"
  trap 'rm -rf -- "$folder"' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  agent=$folder/gatebook-agent
  tail -c "+$((stub + descriptor + 1))" "$package" 2>/dev/null | head -c "$program" >"$agent" ||
    fail "there is no room in $temporary; set TMPDIR to another folder"
  got=$(wc -c <"$agent")
  [ "$((got))" -eq "$program" ] || fail "there is no room in $temporary; set TMPDIR to another folder"
  chmod 755 "$agent" || fail "$agent can't be made a program"
  "$agent" --version >/dev/null 2>&1 ||
    fail "the program for @PLATFORM@ does not run on this machine ($(uname -s -m)), or $temporary forbids programs; set TMPDIR"
  "$agent" install --package "$package" "$@"
  exit $?
}

main "$@"; exit $?

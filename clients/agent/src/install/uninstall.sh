#!/bin/sh
# Takes the Jump Client of @SITE@ away: stops it, tells the site if that can be reached, removes its files.

directory=@DIRECTORY@
user=@USER@
owner=@OWNER@
autostart=@AUTOSTART@
exec_start=@EXEC_START@
agent=$directory/gatebook-agent
unit=/etc/systemd/system/@NAME@.service

fail() {
  printf '%s: %s\n' '@NAME@' "$1" >&2
  exit "$2"
}

# Whether there is a service of systemd that runs this client and no other.
has_unit() {
  [ -f "$unit" ] && grep -Fqx -e "$exec_start" "$unit"
}

remove_unit() {
  has_unit || return 0
  if command -v systemctl >/dev/null 2>&1; then systemctl disable --now '@NAME@.service' || :; fi
  rm -f -- "$unit"
  if command -v systemctl >/dev/null 2>&1; then systemctl daemon-reload || :; fi
}

main() {
  [ -f "$directory/state/installation.json" ] || [ -f "$agent" ] || fail "is not installed in $directory" 1
  cd / || exit 1
  if [ "$(id -u)" -eq 0 ]; then remove_unit; fi
  if [ "$(id -u)" -eq 0 ] && [ "$user" != root ]; then
    if [ "$owner" != root ]; then
      # Root has no business with files that another user may change.
      exec runuser -u "$user" -- "$directory/uninstall"
    fi
    runuser -u "$user" -- "$directory/init-script" stop || fail "the client does not stop" 1
    runuser -u "$user" -- "$agent" uninstall --installation "$directory" || :
  else
    if [ "$owner" = root ] && [ "$(id -u)" -ne 0 ]; then fail "only root may do that" 4; fi
    if [ "$(id -un)" != "$user" ]; then fail "only $user and root may do that" 4; fi
    "$directory/init-script" stop || fail "the client does not stop" 1
    "$agent" uninstall --installation "$directory" || :
  fi
  if [ -n "$autostart" ]; then rm -f -- "$autostart"; fi
  rm -rf -- "$directory" || fail "not all files could be removed from $directory" 1
  printf '%s: %s\n' '@NAME@' "removed from $directory"
  if has_unit; then printf '%s: %s\n' '@NAME@' "root may now remove the service: rm -f $unit"; fi
}

main "$@"; exit $?

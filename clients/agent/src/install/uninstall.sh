#!/bin/sh
# Takes the Jump Client of @SITE@ away: stops it, tells the site if that can be reached, removes its files.

directory=@DIRECTORY@
user=@USER@
owner=@OWNER@
agent=$directory/gatebook-agent
unit=/etc/systemd/system/@NAME@.service

fail() {
  printf '%s: %s\n' '@NAME@' "$1" >&2
  exit "$2"
}

main() {
  [ -f "$directory/state/installation.json" ] || [ -f "$agent" ] || fail "is not installed in $directory" 1
  cd / || exit 1
  if [ "$(id -u)" -eq 0 ] && [ "$user" != root ]; then
    if [ "$owner" != root ]; then
      # Root has no business with files that another user may change.
      exec runuser -u "$user" -- "$directory/uninstall"
    fi
    if [ -f "$unit" ] && command -v systemctl >/dev/null 2>&1; then
      systemctl disable --now '@NAME@.service' || :
      rm -f -- "$unit"
      systemctl daemon-reload || :
    fi
    runuser -u "$user" -- "$directory/init-script" stop || fail "the client does not stop" 1
    runuser -u "$user" -- "$agent" uninstall --installation "$directory" || :
  else
    if [ "$owner" = root ] && [ "$(id -u)" -ne 0 ]; then fail "only root may do that" 4; fi
    if [ "$(id -un)" != "$user" ]; then fail "only $user and root may do that" 4; fi
    "$directory/init-script" stop || fail "the client does not stop" 1
    "$agent" uninstall --installation "$directory" || :
  fi
  autostart=@AUTOSTART@
  if [ -n "$autostart" ]; then rm -f -- "$autostart"; fi
  rm -rf -- "$directory" || fail "not all files could be removed from $directory" 1
  printf '%s: %s\n' '@NAME@' "removed from $directory"
}

main "$@"; exit $?

"""What a client tells of its machine: facts and figures (docs/client-link.md, section 5)."""

import hashlib
import os
import re
import time


def facts(arguments, statistics):
    """What is known of the machine and not of the link. `statistics` is what the site wants; none where it has not said."""
    wants_user = statistics is None or "console_user" in statistics
    known = {
        "hostname": arguments.hostname or os.uname().nodename,
        "operating_system": operating_system(),
        "install_mode": "user",
        "console_user": read(arguments.console_user).strip() if wants_user else "",
        "utc_offset_minutes": time.localtime().tm_gmtoff // 60,
        "disabled": arguments.disabled,
    }
    own_id = read("/etc/machine-id").strip()
    if own_id:
        known["machine_id"] = hashlib.sha256(f"gatebook {own_id}".encode()).hexdigest()
    zone = read("/etc/timezone").strip()
    if re.fullmatch(r"[A-Za-z0-9_+/-]{1,64}", zone):
        known["time_zone"] = zone
    return known


def operating_system():
    named = re.search(r'^PRETTY_NAME="?([^"\n]*)', read("/etc/os-release"), re.MULTILINE)
    return f"{named[1] if named else os.uname().sysname} ({os.uname().machine})"[:255]


def figures(statistics):
    """What is measured: what can be, and what the site wants."""

    def wants(what):
        return statistics is None or what in statistics

    measured = {}
    uptime = read("/proc/uptime").split()
    if uptime and wants("uptime"):
        measured["uptime_seconds"] = int(float(uptime[0]))
    memory = dict(re.findall(r"^(MemTotal|MemAvailable):\s+(\d+) kB", read("/proc/meminfo"), re.MULTILINE))
    if len(memory) == 2:
        total, free = (int(memory[name]) * 1024 for name in ("MemTotal", "MemAvailable"))
        measured |= {"memory_total_bytes": total, "memory_used_bytes": total - free}
    if not wants("disk"):
        return measured
    root = os.statvfs("/")
    size = root.f_frsize
    disk = {"mount": "/", "total_bytes": root.f_blocks * size, "free_bytes": root.f_bavail * size}
    return measured | {"disks": [disk]}


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""

"""The guard: starts one part and makes sure that it never outlives leadstream.

    python -I -S guard.py <stop signal> <user:group ids, or -> -- <command …>

Standard input is one end of a socket pair whose other end only the supervisor holds. The guard writes the
part's process id to it, then waits for its end: when the supervisor closes it, or dies in whatever way (the
kernel closes it then), the part is told to stop, and killed when it does not. The guard's exit code is the
part's. It imports only the standard library, so that it costs little time and memory.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading

STOP_TIMEOUT_SECONDS = 10
PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code (128 + the signal's number when a signal ended it)."""
    stop_signal, user, _, *command = arguments
    # A stray signal must not leave the part without its guard.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    supervisor = socket.socket(fileno=0)
    user_id, group_id = (None, None) if user == "-" else map(int, user.split(":"))
    part = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_before_exec,  # noqa: PLW1509  # the guard has no second thread yet
        user=user_id,
        group=group_id,
        extra_groups=None if user_id is None else [],
    )
    with contextlib.suppress(OSError):
        supervisor.sendall(b"%d\n" % part.pid)
    threading.Thread(target=_stop_at_end, args=(supervisor, part, int(stop_signal)), daemon=True).start()
    code = part.wait()
    with contextlib.suppress(ProcessLookupError):  # whatever the part started and did not stop itself
        os.killpg(part.pid, signal.SIGKILL)
    return code if code >= 0 else 128 - code


def _stop_at_end(supervisor: socket.socket, part: subprocess.Popen[bytes], stop_signal: int) -> None:
    with contextlib.suppress(OSError):
        supervisor.recv(1)
    for number in (stop_signal, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(part.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            part.wait(STOP_TIMEOUT_SECONDS)
            return


def _before_exec() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    if sys.platform == "linux":
        # Even a guard that is killed takes its part with it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

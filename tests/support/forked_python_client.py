"""What a test starts as `python`: a child forked by the server of `forked_python` does the work.

Arguments: the address of the server, the real interpreter, the path of the program that was started, then those of
Python. What is neither `-c` nor `-m`, after any number of `-W FILTER`, goes to the real interpreter.
"""

import json
import os
import signal
import socket
import sys
from contextlib import suppress


def main() -> None:
    address, interpreter, program, *arguments = sys.argv[1:]
    filters = []
    while arguments[:1] == ["-W"]:
        filters.append(arguments[1])
        del arguments[:2]
    if arguments[:1] not in (["-c"], ["-m"]):
        os.execv(interpreter, [interpreter, *(f"-W{text}" for text in filters), *arguments])
    request = {
        "arguments": arguments, "filters": filters, "environment": dict(os.environ), "program": program,
        "folder": os.getcwd(),  # noqa: PTH109 - importing pathlib takes time
    }  # fmt: skip
    # The child may be known by others before it is known here: a signal that comes first waits until then.
    signals = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        connection.connect(address)
        socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
        child = int(connection.recv(100))
        for number in signals:
            signal.signal(number, lambda number, _: os.kill(child, number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        status = int(connection.recv(100))
    if os.WIFSIGNALED(status):
        with suppress(OSError):  # of SIGKILL
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status))


main()

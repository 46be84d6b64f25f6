"""A server that has torch imported already and forks processes which train the toy, to be signalled at work.

It reads one JSON request per line: {"arguments": [...], "beats": n, "wait": seconds, "signal": number}; sends
the signal `wait` seconds after the n-th step began; and answers {"steps": [...], "code": exit code}.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback

import torch._dynamo  # noqa: F401 - the first optimizer of a process imports it, which takes seconds
from toy import main

import visus.engine.loop  # noqa: F401
from visus.errors import VisusError


def live_and_die(request: dict) -> dict:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        code = 1
        try:
            main([*request["arguments"], "--heartbeat", str(writer)])
            code = 0
        except VisusError as error:
            code = error.exit_code
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(writer)
    steps, signalled = [], False
    with os.fdopen(reader) as beats:
        for line in beats:
            steps.append(int(line))
            if len(steps) == request["beats"] and not signalled:
                time.sleep(request["wait"])
                os.kill(child, request["signal"])
                signalled = True
    _, status = os.waitpid(child, 0)
    return {"steps": steps, "code": os.waitstatus_to_exitcode(status)}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(live_and_die(json.loads(line))), flush=True)

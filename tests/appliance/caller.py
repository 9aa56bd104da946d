"""`python -m tests.appliance.caller SIP-ADDRESS`: calls until its input ends, and tells how many pictures came.

For tests in shell, whose gateway is in a network namespace of its own.
"""

import asyncio
import sys

from tests.peer.measured import MeasuredPeer, PeerError


async def main(address: str) -> int:
    """Call; the exit status is 0 where pictures came and the call was up to the end."""
    loop = asyncio.get_running_loop()
    async with MeasuredPeer(width=320, height=180, fps=5, bitrate=100_000) as peer:
        await peer.call(address)
        state = await peer.wait_for("state", timeout_s=15, state="CONFIRMED")
        print("up", state["code"], flush=True)
        ending = loop.run_in_executor(None, sys.stdin.read)
        total = 0
        while not ending.done():
            await asyncio.sleep(1)
            total += (await peer.report()).video.frames
            print("pictures", total, flush=True)
        try:
            await peer.hangup()
        except PeerError:
            print("the call is over already", flush=True)
            return 1
        await peer.wait_over()
        return 0 if total else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))

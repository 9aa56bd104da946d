"""`python -m tests.peer`: the measured peer as a process of its own."""

from tests.peer.agent import main

main()

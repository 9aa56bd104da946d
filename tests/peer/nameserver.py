"""A DNS server for one zone, on a UDP socket of this machine."""

import asyncio
from typing import Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset


class Nameserver(asyncio.DatagramProtocol):
    """Answers from records as a zone file has them: `name ttl class type data`; an async context manager.

    Attributes:
        asked: the questions that came, `name type`.
        address: where it listens.
    """

    def __init__(self, *records: str) -> None:
        self.asked: list[str] = []
        self.address = ""
        self._sets: dict[tuple[dns.name.Name, int], dns.rrset.RRset] = {}
        for record in records:
            name, ttl, kind, data = record.split(" ", 3)
            answer = dns.rrset.from_text(f"{name}.", int(ttl), "IN", kind, data)
            known = self._sets.setdefault((answer.name, answer.rdtype), answer)
            for data_of_it in answer:
                known.add(data_of_it)
        self._transport: asyncio.DatagramTransport

    async def __aenter__(self) -> Self:
        """Open the socket."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._transport.get_extra_info("sockname"))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        self._transport.close()

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        """Answer a question."""
        query = dns.message.from_wire(data)
        question = query.question[0]
        self.asked.append(f"{question.name} {dns.rdatatype.to_text(question.rdtype)}")
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA | dns.flags.RA
        found = self._sets.get((question.name, question.rdtype))
        if found is not None:
            response.answer.append(found)
        elif not any(name == question.name for name, _ in self._sets):
            response.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(response.to_wire(), address)

"""The socket that the API is served on."""

import socket

import pytest

from model.errors import Refused
from starter.api.__main__ import listen


def test_what_is_accepted_is_known_to_be_tcp_so_that_small_answers_leave_at_once() -> None:
    with listen(0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_a_taken_port_is_one_sentence_with_the_setting() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        with pytest.raises(Refused, match=r"in use by another program.* MPG_API_PORT"):
            listen(holder.getsockname()[1])

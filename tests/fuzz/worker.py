"""The worker of the stack that is fuzzed: its activities answer what a healthy cluster would, and touch nothing."""

import asyncio

from bench.stub_worker import serve
from tests.workflows.stubs import answer

if __name__ == "__main__":
    asyncio.run(serve(lambda effect, arg: answer(effect.name, arg)))

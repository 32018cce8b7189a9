"""Clients that read row after row through the gateway, and note exactly what they were given."""

import contextlib
import threading
import time
from dataclasses import dataclass, field

import psycopg
from tests.live_deployment import ANALYST, fresh_word

OPEN_AGAIN_SECONDS = 0.05


@dataclass
class Client:
    """One reader. `given`: for each session (by ticket), how many answers it got in full."""

    number: int
    given: dict = field(default_factory=dict)
    errors: list = field(default_factory=list)
    refused: list = field(default_factory=list)


class ClientsAtWork:
    """A context: threads that connect, read, and connect again when they are cut off."""

    def __init__(self, live, count=4):
        self.live = live
        self.clients = [Client(number) for number in range(count)]
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=[each], daemon=True) for each in self.clients
        ]

    def __enter__(self):
        for each in self._threads:
            each.start()
        try:
            self.wait_for_answers()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        self._stop.set()
        for each in self._threads:
            each.join()

    def answers(self):
        """How many answers everybody got so far."""
        return sum(sum(each.given.values()) for each in self.clients)

    def wait_for_answers(self, more=40, seconds=60):
        """Wait until there are `more` answers than now: the gateway serves."""
        wanted, deadline = self.answers() + more, time.monotonic() + seconds
        while self.answers() < wanted:
            assert time.monotonic() < deadline, f"nobody is served: {self.said()[-3:]}"
            time.sleep(0.02)

    def said(self):
        """Every error that a client got, as (sqlstate, text)."""
        return [each for client in self.clients for each in client.errors]

    def kept_out(self):
        """What clients were told that could not connect."""
        return [each for client in self.clients for each in client.refused]

    def _work(self, client):
        while not self._stop.is_set():
            ticket = f"W-{client.number}-{fresh_word(12)}"
            try:
                connection = self.live.connect(ANALYST, ticket=ticket, connect_timeout=5)
            except psycopg.OperationalError as error:
                client.refused.append((error.sqlstate, str(error)))
                self._stop.wait(OPEN_AGAIN_SECONDS)
                continue
            with contextlib.closing(connection):
                try:
                    self._read(client, connection, ticket)
                except psycopg.OperationalError as error:
                    client.errors.append((error.sqlstate, str(error)))
                except psycopg.Error as error:  # one statement's; the session is still there
                    client.errors.append((error.sqlstate, str(error)))

    def _read(self, client, connection, ticket):
        client.given[ticket] = 0
        turn = 0
        while not self._stop.is_set():
            turn += 1
            # a text of its own now and then, so that the parser is asked, too
            text = f"SELECT label AS l{turn} FROM vault" if turn % 5 == 0 else "SELECT label FROM vault"
            with connection.cursor() as cursor:
                cursor.execute(text, prepare=False)
                if cursor.rowcount != 8:
                    raise AssertionError
            client.given[ticket] += 1


__all__ = ["ClientsAtWork"]

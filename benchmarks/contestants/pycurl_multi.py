"""pycurl's CurlMulti on epoll: one handle for each connection, reused, driven by sockets and not by scans."""

from __future__ import annotations

import select
from collections.abc import Iterator

import pycurl

from benchmarks.contestants.harness import Job, check, measure

EVENTS = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}


class Loop:
    """What libcurl wants to wait for, and the waiting."""

    def __init__(self, job: Job) -> None:
        self.multi = pycurl.CurlMulti()
        self.multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self.multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self.multi.setopt(pycurl.M_MAXCONNECTS, job.concurrency)
        if job.http2:
            self.multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
        self._epoll = select.epoll()
        self._watched: set[int] = set()
        self._timeout_s: float | None = None

    def _watch(self, what: int, descriptor: int, _multi: object, _data: object) -> None:
        if what == pycurl.POLL_REMOVE:
            self._watched.discard(descriptor)
            try:
                self._epoll.unregister(descriptor)
            except OSError:
                return  # closed already, and so no longer watched
        elif descriptor in self._watched:
            self._epoll.modify(descriptor, EVENTS[what])
        else:
            self._watched.add(descriptor)
            self._epoll.register(descriptor, EVENTS[what])

    def _set_timer(self, timeout_ms: int) -> None:
        self._timeout_s = None if timeout_ms < 0 else timeout_ms / 1000

    def turn(self) -> None:
        """Wait for sockets or the timer, and let libcurl work on them."""
        events = self._epoll.poll(1.0 if self._timeout_s is None else self._timeout_s)
        if not events:
            self.multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        for descriptor, event in events:
            readable = pycurl.CSELECT_IN if event & ~select.EPOLLOUT else 0
            writable = pycurl.CSELECT_OUT if event & select.EPOLLOUT else 0
            self.multi.socket_action(descriptor, readable | writable)

    def ended(self) -> Iterator[pycurl.Curl]:
        """Yield the handles whose transfer has ended."""
        left = 1
        while left:
            left, done, failed = self.multi.info_read()
            for _, code, words in failed:
                raise ConnectionError(f"{code}: {words}")
            yield from done


def consume(job: Job, requests: int) -> None:
    loop, urls = Loop(job), job.urls(requests)
    bodies: dict[pycurl.Curl, list[bytes]] = {}
    running = 0
    for url, _ in zip(urls, range(job.concurrency), strict=False):
        handle = _handle(job)
        bodies[handle] = []
        handle.setopt(pycurl.WRITEFUNCTION, bodies[handle].append)
        _start(loop, handle, url)
        running += 1
    while running:
        loop.turn()
        for handle in loop.ended():
            parts = bodies[handle]
            body = b"".join(parts)
            parts.clear()
            check(job, handle.getinfo(pycurl.RESPONSE_CODE), len(body))
            loop.multi.remove_handle(handle)
            url = next(urls, "")
            if url:
                _start(loop, handle, url)
            else:
                running -= 1


def _handle(job: Job) -> pycurl.Curl:
    handle = pycurl.Curl()
    handle.setopt(pycurl.NOSIGNAL, 1)
    if job.ca:
        handle.setopt(pycurl.CAINFO, job.ca)
    handle.setopt(pycurl.ACCEPT_ENCODING, "gzip")
    if job.http2:
        handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
        handle.setopt(pycurl.PIPEWAIT, 1)
    return handle


def _start(loop: Loop, handle: pycurl.Curl, url: str) -> None:
    handle.setopt(pycurl.URL, url)
    loop.multi.add_handle(handle)


if __name__ == "__main__":
    measure(consume)

"""Several processes as one service: `Supervisor`.

It opens the sockets, starts workers that inherit them, and replaces those that die. It serves no client
itself, so what a client does cannot take it down. At a reload (SIGHUP) it reads the settings again and
starts other workers on the same sockets: once all of them are ready, the old ones retire. If they do not
get ready, nothing changes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import ExitStack, aclosing, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, TypeAlias

import trio

from caas_trio.core.errors import CaasError, UsageError
from caas_trio.observing.log_telemetry import LogTelemetry
from caas_trio.observing.monitoring import serve_monitoring
from caas_trio.observing.sharedmetrics import SharedMetrics
from caas_trio.observing.status import History, LastReload, ServiceStatus
from caas_trio.server.watchdog import Watchdog

from .command import parse
from .configfile import check_replacement
from .generation import Generation, Place
from .interpreter import Interpreter
from .messages import Command, WorkerConfig
from .notify import Notifier
from .program import Announcement, Program
from .recycling import TURNS_PER_TIMEOUT, StackPipe, WorkerLimits, wait_until_worn
from .restarts import MAX_FAILURES, Restarts
from .sharedsockets import SharedSockets
from .signals import handle_signals, receive_signals
from .user_error import USER_ERRORS, user_error
from .watching import changes
from .worker_process import Death, StartProcess, Worker, is_no_room, start_process

#: How many signs of life a worker gives in the time that the service manager's watchdog may take.
_BEATS_PER_INTERVAL: Final = 4

#: How many seconds after a failed replacement of a worn worker the next one is tried.
_RETRY_S: Final = 60.0

Parse: TypeAlias = Callable[[Sequence[str]], Program | int]


class WorkersFailed(CaasError):  # noqa: N818 - what happened
    """The service cannot go on: workers do not get ready, or die at once, again and again."""


class Supervisor:
    """Runs a service as worker processes.

    Args:
        arguments: the command line.
        program: the settings that the command line describes now.
        interpreter: starts the workers.
        parse: reads the command line again.
        start: starts a worker.
        wait_until_worn: returns once a worker should be replaced, and why.
        changes: yields the changed files each time that files in a folder have changed.
        sockets: those that are open already.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        program: Program,
        interpreter: Interpreter,
        *,
        parse: Parse | None = None,
        start: StartProcess | None = None,
        wait_until_worn: Callable[[int, WorkerLimits], Awaitable[str]] = wait_until_worn,
        changes: Callable[[Path], AsyncGenerator[list[str]]] = changes,
        sockets: SharedSockets | None = None,
    ) -> None:
        self._arguments = arguments
        self._directory = interpreter.directory
        self._parse = parse or partial(_parse, directory=interpreter.directory)
        self._start = start or partial(start_process, interpreter=interpreter)
        self._wait_until_worn = wait_until_worn
        self._changes = changes
        self._stopped = trio.Event()
        self._log = program.log
        self._first = program
        self._manager = Notifier.from_environment()
        self._watchdog = Watchdog(self._manager.alive, self._manager.watchdog_interval)
        self._current = Generation(program, sockets or SharedSockets())
        self._generations: list[Generation] = []
        self._slots: set[int] = set()
        self._metrics: SharedMetrics | None = None
        self._stopping = False
        self._starting = trio.CancelScope()
        self._failure: Death | None = None
        self._last_reload = LastReload()

    async def run(self) -> None:
        """Serve until a signal asks for a stop and all workers are gone.

        Raises:
            CaasError: the service cannot start, or go on.
            OSError: likewise.
        """
        program = self._first
        ask, asked = trio.open_memory_channel[None](1)
        reports = LogTelemetry(self._log)
        with ExitStack() as opened, receive_signals() as signals:
            opened.callback(reports.close)
            opened.callback(self._close)
            async with trio.open_nursery() as aside:
                aside.start_soon(
                    partial(
                        handle_signals, signals, reload=partial(_ask, ask), stop=self._stop, cut=self._cut
                    )
                )
                async with trio.open_nursery() as self._places:
                    if program.watched is not None:
                        aside.start_soon(self._watch, program.watched, ask)
                        self._places.start_soon(self._stopped.wait)  # the service goes on without a worker
                    with self._starting:
                        await self._begin_to_serve(aside, opened, reports)
                        aside.start_soon(self._reload_when, asked)
                aside.cancel_scope.cancel()
        if self._failure is not None:
            raise (UsageError if self._failure.misused else WorkersFailed)(self._failure.reason)

    async def _begin_to_serve(self, aside: trio.Nursery, opened: ExitStack, reports: LogTelemetry) -> None:
        """Start the first workers; return when they are ready and their endpoints have been announced."""
        first = self._current
        output = Announcement(first.program.trust, reports, self._manager)
        first.sockets = await self._opened(first.program)
        if first.program.metrics is not None:
            self._metrics = opened.enter_context(SharedMetrics())
            history = History(self._metrics.collect)
            aside.start_soon(history.keep, reports.metrics_unread)
            output.monitored_at = await aside.start(
                partial(
                    serve_monitoring,
                    first.program.metrics,
                    self._metrics.page,
                    self._is_ready,
                    reports,
                    status=lambda: history.status(self._status()),
                )
            )
        await trio.lowlevel.checkpoint_if_cancelled()  # after a stop no worker is started
        self._begin(first)
        await first.settled.wait()
        await first.sockets.take_over()
        if not self._stopping:
            output.started(first.sockets.endpoints)

    def _close(self) -> None:
        self._current.sockets.close()

    def _is_ready(self) -> bool:
        return self._current.ready and not self._stopping

    def _status(self) -> ServiceStatus:
        """Return what the metrics do not say."""
        workers = [each for generation in self._generations for each in generation.worker_statuses()]
        state = "stopping" if self._stopping else "serving" if self._current.ready else "starting"
        return ServiceStatus(
            state=state,
            workers=sorted(workers, key=lambda each: each.number),
            reload=self._last_reload.status(),
        )

    async def _opened(self, program: Program) -> SharedSockets:
        """Return the sockets that a program wants; those that are open already are kept."""
        return await self._current.sockets.changed_to(
            program.endpoints,
            unix_mode=program.trust.unix_mode,
            takeover=program.takeover,
            options=program.sockets,
        )

    # Signals.

    def _stop(self) -> None:
        """Drain all workers. A client that connects from now on is refused, or finds a successor."""
        self._stopping = True
        self._stopped.set()
        self._manager.stopping()
        self._starting.cancel()
        for generation in self._generations:
            generation.sockets.close()
        handed_over = any(generation.sockets.handed_over for generation in self._generations)
        for generation in self._generations:
            generation.end(Command.HANDOVER if handed_over else Command.STOP)
        if self._first.watched is not None:  # in development there is no drain
            self._cut()

    def _cut(self) -> None:
        for generation in self._generations:
            generation.end(Command.CUT)

    async def _reload_when(self, asked: trio.MemoryReceiveChannel[None]) -> None:
        async for _ in asked:
            with self._manager.reloading():
                await self._reload()

    async def _reload(self) -> None:
        """Replace the workers by new ones with new settings, or log why that fails."""
        old = self._current
        reason: str | None = None
        try:
            program = self._parse(self._arguments)
            assert isinstance(program, Program)  # noqa: S101 - the same arguments were one before
            check_replacement(old.program.config or {}, program.config or {})
            new = Generation(program, await self._opened(program))
        except* USER_ERRORS as mistakes:
            reason = user_error(mistakes).text
        if reason is not None:
            self._reload_failed(reason)
            return
        if not self._stopping:
            self._begin(new)
            await new.settled.wait()
            await self._take_over(new)
        if self._stopping or new.failure is not None:
            new.sockets.close(but=old.sockets)
        if new.failure is not None:
            self._reload_failed(new.failure)
        elif not self._stopping:
            self._succeed(old, new)

    async def _take_over(self, new: Generation) -> None:
        """Take over the paths of predecessors, or fail the generation."""
        try:
            if not new.over.is_set():
                await new.sockets.take_over()
        except* USER_ERRORS as mistakes:
            new.fail(user_error(mistakes).text)

    def _succeed(self, old: Generation, new: Generation) -> None:
        """Replace the old workers with the new ones, which are ready."""
        self._current, self._log = new, new.program.log
        old.sockets.close(but=new.sockets)
        old.end(Command.RETIRE if self._first.watched is None else Command.CUT)
        for worker in old.workers:
            self._watchdog.unregister(worker)
        for worker in new.workers:
            self._watchdog.tick(worker)
        exposed = [str(each) for each in new.sockets.endpoints if new.program.trust.exposes(each)]
        if exposed:
            LogTelemetry(self._log).exposed(exposed)
        for setting, kept in self._first.kept_by_reload(new.program):
            self._log.warning("a setting is changed by a restart only", setting=setting, still=kept)
        self._last_reload.note(None)
        self._log.info("reloaded", workers=new.program.workers)

    def _reload_failed(self, reason: str) -> None:
        self._last_reload.note(reason)
        self._log.error("the settings could not be reloaded; the old workers stay", reason=reason)

    # The places for workers.

    def _begin(self, generation: Generation) -> None:
        """Start the workers of a generation, each in a place of its own."""
        self._generations.append(generation)
        self._places.start_soon(self._hold, generation)

    async def _hold(self, generation: Generation) -> None:
        async with trio.open_nursery() as generation.places:
            for _ in range(generation.program.workers):
                generation.places.start_soon(self._keep, generation, Place())
        self._generations.remove(generation)

    async def _keep(self, generation: Generation, place: Place) -> None:
        """Keep one place filled until the generation is over, or it has to be given up or handed on."""
        restarts = Restarts()
        while not generation.over.is_set() and not place.handed_on:
            death = await self._run_worker(generation, place)
            if death is None:
                continue
            if death.stood_still and self._metrics is not None:
                self._metrics.worker_replaced("timeout")
            delay = restarts.had_no_room() if death.no_room else restarts.died(death.ready_for_s)
            event = "no room for a worker" if death.no_room else "worker died"
            if generation.over.is_set():
                self._log.error(event, **death.log_fields())
            elif generation is not self._current:
                generation.fail(death.reason)
            elif not place.filled and place.predecessor in generation.workers:
                self._log.error(event, **death.log_fields())
                place.give_back()  # the predecessor goes on, and will be replaced later
                break
            elif death.refused and not generation.settled.is_set():
                self._give_up(death)
            elif delay is None:
                row = f"{MAX_FAILURES} in a row"
                reason = f"workers die before they have served for long, {row}: {death.reason}"
                self._give_up(death._replace(reason=reason))
            else:
                self._log.error(event, **death.log_fields(), again_in=delay)
                with trio.move_on_after(delay):
                    await generation.over.wait()

    async def _run_worker(self, generation: Generation, place: Place) -> Death | None:
        """Start a worker and wait for its end; return why it died, None if it ended on command."""
        slot = next(number for number in count() if number not in self._slots)
        self._slots.add(slot)
        limits = generation.program.worker_limits
        try:
            with StackPipe() as stacks:
                config = WorkerConfig(
                    arguments=self._arguments,
                    config=generation.program.config or {},
                    directory=self._directory,
                    sockets=generation.sockets.described(),
                    slot=slot,
                    watchdog_interval=self._manager.watchdog_interval / _BEATS_PER_INTERVAL,
                    metrics_folder=None if self._metrics is None else str(self._metrics.folder),
                    turn_interval=limits.timeout / TURNS_PER_TIMEOUT,
                    stacks=stacks.write_end,
                )
                on_message = partial(self._on_message, generation)
                worker = Worker(config, self._start(config), on_message, limits.timeout)
                generation.workers.add(worker)
                try:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._recycle, generation, place, worker)
                        await worker.run()
                        nursery.cancel_scope.cancel()
                finally:
                    generation.workers.discard(worker)
                    self._watchdog.unregister(worker)
                    if self._metrics is not None and not self._metrics.worker_gone(slot):
                        self._log.error("the metrics of a worker are lost", worker=slot, pid=worker.pid)
                    if stack := stacks.read():
                        self._log.error("the stack of a worker", worker=slot, pid=worker.pid, stack=stack)
        except OSError as error:
            return Death(slot, None, user_error(error).text, no_room=is_no_room(error))
        finally:
            self._slots.discard(slot)
        return worker.death()

    async def _recycle(self, generation: Generation, place: Place, worker: Worker) -> None:
        """End a worker that is worn once another one is ready; if none gets ready, try again later."""
        await worker.was_ready.wait()
        place.fill()
        while True:
            reason = await self._wait_until_worn(worker.pid, generation.program.worker_limits)
            if generation.over.is_set():
                return
            successor = Place(predecessor=worker, origin=place)
            generation.places.start_soon(self._keep, generation, successor)
            await successor.settled.wait()
            if successor.filled:
                break
            await trio.sleep(_RETRY_S)
        self._log.info("worker replaced", worker=worker.slot, pid=worker.pid, reason=reason)
        if self._metrics is not None:
            self._metrics.worker_replaced(reason)
        worker.end(Command.RETIRE, generation.seconds_for(worker, Command.RETIRE))

    def _on_message(self, generation: Generation, worker: Worker) -> None:
        """Note that a worker is ready, or goes on."""
        generation.check()
        if generation is self._current and worker.ready:
            self._watchdog.tick(worker)

    async def _watch(self, folder: Path, ask: trio.MemorySendChannel[None]) -> None:
        """Ask for a reload each time that files of the app have changed."""
        async with aclosing(self._changes(folder)) as changed:
            async for files in changed:
                self._log.info("files have changed", files=" ".join(files))
                _ask(ask)

    def _give_up(self, death: Death) -> None:
        if self._first.watched is not None and not self._stopping:
            self._log.error("the app cannot be served; waiting for a change", reason=death.reason)
            return self._current.end(Command.CUT)
        self._failure = self._failure or death
        return self._stop()


def _parse(arguments: Sequence[str], directory: str | None) -> Program | int:
    return parse(arguments, directory=directory)


def _ask(channel: trio.MemorySendChannel[None]) -> None:
    """Ask for a reload, unless one is about to begin."""
    with suppress(trio.WouldBlock):
        channel.send_nowait(None)

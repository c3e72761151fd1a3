"""LLVM IR of the thread pool: workers that take chunks of one launch at a time.

The caller takes chunks too, and waits only for chunks that a worker has begun: a
worker that the system does not schedule in time costs nothing. (OpenMP's barrier waits
for every thread; on a busy machine that made launches a hundred times slower.)
"""

from __future__ import annotations

from mgrad.compiler.layout import WORD_HELPERS, fill

SPINS = 50
"""Turns of waiting awake, some 20 microseconds, before a thread sleeps."""


def parallel_ir() -> str:
    """`@parallel(step, buffers, size, chunks, process)`, for `mgrad_run`'s module."""
    return _with_spins(_TAKE_CHUNKS + _PARALLEL + _DECLARATIONS)


def worker_ir() -> str:
    """`mgrad_worker(process)`: what a thread of the pool runs; it never returns."""
    return fill(WORD_HELPERS + _with_spins(_TAKE_CHUNKS + _WORKER + _DECLARATIONS))


def _with_spins(text: str) -> str:
    return text.replace("$SPINS", str(SPINS))


_PARALLEL = """
; Splits one launch over the pool. False if another launch is in it, or it cannot be
; started: the caller then runs everything by itself.
define internal i1 @parallel(ptr %step, ptr %buffers, i64 %size, i64 %chunks,
                             ptr %process) {
entry:
  %busy = getelementptr inbounds i64, ptr %process, i64 ${Process.POOL_BUSY}
  %won = call i1 @acquire(ptr %busy)
  br i1 %won, label %inside, label %refused

inside:
  %started = call i64 @word(ptr %process, i64 ${Process.POOL_READY})
  %is.started = icmp ne i64 %started, 0
  br i1 %is.started, label %run, label %start

start:
  %starter = call ptr @pointer(ptr %process, i64 ${Process.POOL_START})
  call void %starter()
  %ready = call i64 @word(ptr %process, i64 ${Process.POOL_READY})
  %is.ready = icmp ne i64 %ready, 0
  br i1 %is.ready, label %run, label %leave

run:
  %mutex = call ptr @pointer(ptr %process, i64 ${Process.POOL_MUTEX})
  %wake = call ptr @pointer(ptr %process, i64 ${Process.POOL_WAKE})
  %done = call ptr @pointer(ptr %process, i64 ${Process.POOL_DONE})
  %open = getelementptr inbounds i64, ptr %process, i64 ${Process.POOL_OPEN}
  %active = getelementptr inbounds i64, ptr %process, i64 ${Process.POOL_ACTIVE}
  %next = getelementptr inbounds i64, ptr %process, i64 ${Process.POOL_NEXT}
  %turn = getelementptr inbounds i64, ptr %process, i64 ${Process.POOL_TURN}
  call i32 @pthread_mutex_lock(ptr %mutex)
  call void @set_pointer(ptr %process, i64 ${Process.POOL_STEP}, ptr %step)
  call void @set_pointer(ptr %process, i64 ${Process.POOL_BUFFERS}, ptr %buffers)
  %size.pointer = inttoptr i64 %size to ptr
  call void @set_pointer(ptr %process, i64 ${Process.POOL_SIZE}, ptr %size.pointer)
  %chunks.pointer = inttoptr i64 %chunks to ptr
  call void @set_pointer(ptr %process, i64 ${Process.POOL_CHUNKS}, ptr %chunks.pointer)
  store atomic i64 0, ptr %next monotonic, align 8
  store atomic i64 1, ptr %open monotonic, align 8
  %turn.before = load atomic i64, ptr %turn monotonic, align 8
  %turn.now = add i64 %turn.before, 1
  store atomic i64 %turn.now, ptr %turn monotonic, align 8
  call i32 @pthread_cond_broadcast(ptr %wake)
  call i32 @pthread_mutex_unlock(ptr %mutex)
  call void @take_chunks(ptr %process)
  call i32 @pthread_mutex_lock(ptr %mutex)
  store atomic i64 0, ptr %open monotonic, align 8
  call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %spin

spin:
  %spins = phi i64 [ 0, %run ], [ %spins.next, %spin.more ]
  %running = load atomic i64, ptr %active acquire, align 8
  %quiet = icmp eq i64 %running, 0
  br i1 %quiet, label %settle, label %spin.more

spin.more:
  call i32 @sched_yield()
  %spins.next = add i64 %spins, 1
  %patient = icmp ult i64 %spins.next, $SPINS
  br i1 %patient, label %spin, label %settle

settle:
  call i32 @pthread_mutex_lock(ptr %mutex)
  br label %check

check:
  %left = load atomic i64, ptr %active monotonic, align 8
  %waiting = icmp ne i64 %left, 0
  br i1 %waiting, label %sleep, label %finished

sleep:
  call i32 @pthread_cond_wait(ptr %done, ptr %mutex)
  br label %check

finished:
  call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %leave

leave:
  %result = phi i1 [ true, %finished ], [ false, %start ]
  store atomic i64 0, ptr %busy release, align 8
  ret i1 %result

refused:
  ret i1 false
}
"""

_TAKE_CHUNKS = """
; Runs chunks of the open launch until none is left.
define internal void @take_chunks(ptr %process) {
entry:
  %step = call ptr @pointer(ptr %process, i64 ${Process.POOL_STEP})
  %buffers = call ptr @pointer(ptr %process, i64 ${Process.POOL_BUFFERS})
  %size = call i64 @word(ptr %process, i64 ${Process.POOL_SIZE})
  %chunks = call i64 @word(ptr %process, i64 ${Process.POOL_CHUNKS})
  %next = getelementptr inbounds i64, ptr %process, i64 ${Process.POOL_NEXT}
  %kernel = call ptr @pointer(ptr %step, i64 ${LaunchStep.ADDRESS})
  %extents.at = call i64 @word(ptr %step, i64 ${LaunchStep.EXTENTS})
  %extents = getelementptr inbounds i64, ptr %step, i64 %extents.at
  br label %take

take:
  %chunk = atomicrmw add ptr %next, i64 1 monotonic
  %more = icmp ult i64 %chunk, %chunks
  br i1 %more, label %work, label %done

work:
  %after = add i64 %chunk, 1
  %lo = call i64 @part(i64 %size, i64 %chunk, i64 %chunks)
  %hi = call i64 @part(i64 %size, i64 %after, i64 %chunks)
  call void %kernel(ptr %buffers, ptr %extents, i64 %lo, i64 %hi)
  br label %take

done:
  ret void
}

; floor(size * part / chunks)
define internal i64 @part(i64 %size, i64 %part, i64 %chunks) alwaysinline {
  %product = mul nuw i64 %size, %part
  %bound = udiv i64 %product, %chunks
  ret i64 %bound
}
"""

_WORKER = """
; A worker thread: sleeps, joins an open launch, takes chunks, for ever.
define void @mgrad_worker(ptr %process) {
entry:
  %mutex = call ptr @pointer(ptr %process, i64 ${Process.POOL_MUTEX})
  %wake = call ptr @pointer(ptr %process, i64 ${Process.POOL_WAKE})
  %done = call ptr @pointer(ptr %process, i64 ${Process.POOL_DONE})
  %open = getelementptr inbounds i64, ptr %process, i64 ${Process.POOL_OPEN}
  %active = getelementptr inbounds i64, ptr %process, i64 ${Process.POOL_ACTIVE}
  %turn = getelementptr inbounds i64, ptr %process, i64 ${Process.POOL_TURN}
  call i32 @pthread_mutex_lock(ptr %mutex)
  br label %loop

loop:
  %seen = phi i64 [ 0, %entry ], [ %seen, %sleep ], [ %turn.now, %again ]
  %turn.now = load atomic i64, ptr %turn monotonic, align 8
  %is.open = load atomic i64, ptr %open monotonic, align 8
  %running = load atomic i64, ptr %active monotonic, align 8
  %threads = call i64 @word(ptr %process, i64 ${Process.THREADS})
  %running.after = add i64 %running, 1
  %new = icmp ne i64 %turn.now, %seen
  %opened = icmp ne i64 %is.open, 0
  %room = icmp ult i64 %running.after, %threads
  %fresh = and i1 %new, %opened
  %join = and i1 %fresh, %room
  br i1 %join, label %work, label %sleep

sleep:
  call i32 @pthread_cond_wait(ptr %wake, ptr %mutex)
  br label %loop

work:
  store atomic i64 %running.after, ptr %active monotonic, align 8
  call i32 @pthread_mutex_unlock(ptr %mutex)
  call void @take_chunks(ptr %process)
  call i32 @pthread_mutex_lock(ptr %mutex)
  %before = load atomic i64, ptr %active monotonic, align 8
  %left = sub i64 %before, 1
  store atomic i64 %left, ptr %active release, align 8
  call i32 @pthread_cond_signal(ptr %done)
  call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %spin

spin:
  %spins = phi i64 [ 0, %work ], [ %spins.next, %spin.more ]
  %turn.later = load atomic i64, ptr %turn monotonic, align 8
  %called = icmp ne i64 %turn.later, %turn.now
  br i1 %called, label %again, label %spin.more

spin.more:
  call i32 @sched_yield()
  %spins.next = add i64 %spins, 1
  %patient = icmp ult i64 %spins.next, $SPINS
  br i1 %patient, label %spin, label %again

again:
  call i32 @pthread_mutex_lock(ptr %mutex)
  br label %loop
}
"""

_DECLARATIONS = """
declare i32 @sched_yield()
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_signal(ptr)
declare i32 @pthread_cond_broadcast(ptr)
"""

"""Matrix products as launches: each thread multiplies a block of a large one.

There BLAS runs on one thread inside its block, so that there is one pool of threads
in the process, which sleeps when idle. Two pools (ours and BLAS's own) hold the cores
against each other: on two cores, a training step of 4 ms took 20 to 400.
"""

from __future__ import annotations

import functools
from enum import auto

import numpy as np

from mgrad.compiler import blas, codegen, threads
from mgrad.compiler.layout import WORD_HELPERS, Process, Words, fill

UNIT = 16
"""Rows or columns of a block are a multiple of this: whole tiles for BLAS."""
SERIAL_PRODUCTS = 1 << 18
"""Below so many multiplications BLAS uses one thread by itself."""
PRODUCT_NANOSECONDS = 0.025
"""One multiplication and addition in a large product, on one thread."""


class PartWords(Words):
    """The extents of `mgrad_gemm_part`; BLAS reads its arguments in place."""

    ADDRESS = auto()
    PROCESS = auto()  # 0 leaves the threads of BLAS alone
    AXIS = auto()  # what is split: 0 rows, 1 columns, 2 the batch
    UNIT = auto()
    DIMENSION = auto()
    STEP_A = auto()  # bytes from one row, column or matrix to the next
    STEP_B = auto()
    STEP_C = auto()
    TRANS_A = auto()
    TRANS_B = auto()
    M = auto()
    N = auto()
    K = auto()
    ALPHA = auto()
    LDA = auto()
    LDB = auto()
    BETA = auto()
    LDC = auto()
    BATCH = auto()
    STRIDE_A = auto()
    STRIDE_B = auto()
    STRIDE_C = auto()


def is_shared(m: int, n: int, k: int, batch: int) -> bool:
    """Whether our threads share a product; else BLAS has it, with threads of its own.

    It is if BLAS would use several and their number can be limited meanwhile.
    """
    return m * n * k * batch > SERIAL_PRODUCTS and blas.thread_control() is not None


@functools.cache
def address() -> int:
    """The kernel; what it needs of BLAS is entered into the process's words."""
    control = blas.thread_control()
    if control is not None:
        threads.words[Process.BLAS_GET_THREADS] = control.get_num_threads
        threads.words[Process.BLAS_SET_THREADS] = control.set_num_threads
    return codegen.load({"mgrad_gemm_part": part_ir()}, level=0)["mgrad_gemm_part"]


def split(m: int, n: int, k: int, batch: int) -> tuple[int, int, int]:
    """Axis, size of the launch, and its grain if the product is shared."""
    if batch > 1:
        return 2, batch, threads.grain(PRODUCT_NANOSECONDS * m * n * k)
    axis, dimension, other = (0, m, n) if m >= n else (1, n, m)
    size = -(-dimension // UNIT)
    share = -(-size // threads.get_num_threads())  # each block packs an operand again
    worth = threads.grain(PRODUCT_NANOSECONDS * UNIT * other * k)
    return axis, size, max(share, worth)


def part_ir() -> str:
    """`mgrad_gemm_part(buffers, extents, lo, hi)`: blocks [lo, hi) of a product."""
    return fill(WORD_HELPERS + _PART, PartWords)


def words_address() -> int:
    """Where native code finds the process's words."""
    return int(np.asarray(threads.words).ctypes.data)


_PART = """
define void @mgrad_gemm_part(ptr %buffers, ptr %words, i64 %lo, i64 %hi) {
entry:
  %m.here = alloca i64, align 8
  %n.here = alloca i64, align 8
  %blas = call ptr @pointer(ptr %words, i64 ${PartWords.ADDRESS})
  %process = call ptr @pointer(ptr %words, i64 ${PartWords.PROCESS})
  %axis = call i64 @word(ptr %words, i64 ${PartWords.AXIS})
  %unit = call i64 @word(ptr %words, i64 ${PartWords.UNIT})
  %dimension = call i64 @word(ptr %words, i64 ${PartWords.DIMENSION})
  %first = mul nuw i64 %lo, %unit
  %end = mul nuw i64 %hi, %unit
  %last = call i64 @llvm.umin.i64(i64 %end, i64 %dimension)
  %count = sub i64 %last, %first
  %m.all = call i64 @word(ptr %words, i64 ${PartWords.M})
  %n.all = call i64 @word(ptr %words, i64 ${PartWords.N})
  %batch.all = call i64 @word(ptr %words, i64 ${PartWords.BATCH})
  %rows = icmp eq i64 %axis, 0
  %columns = icmp eq i64 %axis, 1
  %matrices = icmp eq i64 %axis, 2
  %m = select i1 %rows, i64 %count, i64 %m.all
  %n = select i1 %columns, i64 %count, i64 %n.all
  %batch = select i1 %matrices, i64 %count, i64 %batch.all
  store i64 %m, ptr %m.here, align 8
  store i64 %n, ptr %n.here, align 8
  %step.a = call i64 @word(ptr %words, i64 ${PartWords.STEP_A})
  %step.b = call i64 @word(ptr %words, i64 ${PartWords.STEP_B})
  %step.c = call i64 @word(ptr %words, i64 ${PartWords.STEP_C})
  %offset.a = mul i64 %first, %step.a
  %offset.b = mul i64 %first, %step.b
  %offset.c = mul i64 %first, %step.c
  %a.whole = call ptr @pointer(ptr %buffers, i64 0)
  %b.whole = call ptr @pointer(ptr %buffers, i64 1)
  %c.whole = call ptr @pointer(ptr %buffers, i64 2)
  %a.first = getelementptr i8, ptr %a.whole, i64 %offset.a
  %b.first = getelementptr i8, ptr %b.whole, i64 %offset.b
  %c.first = getelementptr i8, ptr %c.whole, i64 %offset.c
  %trans.a = getelementptr inbounds i64, ptr %words, i64 ${PartWords.TRANS_A}
  %trans.b = getelementptr inbounds i64, ptr %words, i64 ${PartWords.TRANS_B}
  %k = getelementptr inbounds i64, ptr %words, i64 ${PartWords.K}
  %alpha = getelementptr inbounds i64, ptr %words, i64 ${PartWords.ALPHA}
  %beta = getelementptr inbounds i64, ptr %words, i64 ${PartWords.BETA}
  %lda = getelementptr inbounds i64, ptr %words, i64 ${PartWords.LDA}
  %ldb = getelementptr inbounds i64, ptr %words, i64 ${PartWords.LDB}
  %ldc = getelementptr inbounds i64, ptr %words, i64 ${PartWords.LDC}
  %stride.a = call i64 @word(ptr %words, i64 ${PartWords.STRIDE_A})
  %stride.b = call i64 @word(ptr %words, i64 ${PartWords.STRIDE_B})
  %stride.c = call i64 @word(ptr %words, i64 ${PartWords.STRIDE_C})
  call void @change_users(ptr %process, i64 1)
  br label %next

next:
  %i = phi i64 [ 0, %entry ], [ %i.next, %multiply ]
  %a = phi ptr [ %a.first, %entry ], [ %a.next, %multiply ]
  %b = phi ptr [ %b.first, %entry ], [ %b.next, %multiply ]
  %c = phi ptr [ %c.first, %entry ], [ %c.next, %multiply ]
  %more = icmp ult i64 %i, %batch
  br i1 %more, label %multiply, label %done

multiply: ; column-major: C' = B' A'
  call void %blas(ptr %trans.b, ptr %trans.a, ptr %n.here, ptr %m.here, ptr %k,
                  ptr %alpha, ptr %b, ptr %ldb, ptr %a, ptr %lda, ptr %beta,
                  ptr %c, ptr %ldc)
  %i.next = add nuw i64 %i, 1
  %a.next = getelementptr i8, ptr %a, i64 %stride.a
  %b.next = getelementptr i8, ptr %b, i64 %stride.b
  %c.next = getelementptr i8, ptr %c, i64 %stride.c
  br label %next

done:
  call void @change_users(ptr %process, i64 -1)
  ret void
}

; The first user limits BLAS to one thread, the last one gives it back what it had.
define internal void @change_users(ptr %process, i64 %change) {
entry:
  %shared = icmp ne ptr %process, null
  br i1 %shared, label %limited, label %free

free:
  ret void

limited:
  %lock = getelementptr inbounds i64, ptr %process, i64 ${Process.BLAS_LOCK}
  %users = getelementptr inbounds i64, ptr %process, i64 ${Process.BLAS_USERS}
  %saved = getelementptr inbounds i64, ptr %process, i64 ${Process.BLAS_THREADS}
  %get = call ptr @pointer(ptr %process, i64 ${Process.BLAS_GET_THREADS})
  %set = call ptr @pointer(ptr %process, i64 ${Process.BLAS_SET_THREADS})
  br label %wait

wait:
  %won = call i1 @acquire(ptr %lock)
  br i1 %won, label %inside, label %wait

inside:
  %before = load i64, ptr %users, align 8
  %after = add i64 %before, %change
  store i64 %after, ptr %users, align 8
  %alone = icmp eq i64 %before, 0
  br i1 %alone, label %limit, label %check

limit:
  %had = call i32 %get()
  %had.word = zext i32 %had to i64
  store i64 %had.word, ptr %saved, align 8
  call void %set(i32 1)
  br label %leave

check:
  %none = icmp eq i64 %after, 0
  br i1 %none, label %restore, label %leave

restore:
  %again.word = load i64, ptr %saved, align 8
  %again = trunc i64 %again.word to i32
  call void %set(i32 %again)
  br label %leave

leave:
  store atomic i64 0, ptr %lock release, align 8
  ret void
}

declare i64 @llvm.umin.i64(i64, i64)
"""

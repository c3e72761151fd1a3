"""LLVM IR of `mgrad_run`, the loop over a program's steps.

Compiled once and cached like any kernel. It holds no address: whatever lives in this
process it finds in arrays of words (`layout`).
"""

from __future__ import annotations

from mgrad.compiler.layout import WORD_HELPERS, fill
from mgrad.compiler.pool_ir import parallel_ir


def run_ir() -> str:
    """`void mgrad_run(slots, steps, step_words, width, process)`."""
    return fill(WORD_HELPERS + parallel_ir() + _RUN)


_RUN = """
; Runs the steps in %steps[0:%step_words] on the buffers in %slots.
define void @mgrad_run(ptr %slots, ptr %steps, i64 %step_words, i64 %width,
                       ptr %process) {
entry:
  %buffers = alloca ptr, i64 %width, align 8
  br label %next

next:
  %at = phi i64 [ 0, %entry ], [ %after, %advance ]
  %more = icmp ult i64 %at, %step_words
  br i1 %more, label %decode, label %done

decode:
  %step = getelementptr inbounds i64, ptr %steps, i64 %at
  %opcode = call i64 @word(ptr %step, i64 0)
  switch i64 %opcode, label %advance [ i64 ${LAUNCH}, label %launch
                                       i64 ${GEMV}, label %gemv ]

launch:
  call void @launch(ptr %step, ptr %slots, ptr %buffers, ptr %process)
  br label %advance

gemv:
  call void @gemv(ptr %step, ptr %slots)
  br label %advance

advance:
  %length = call i64 @word(ptr %step, i64 1)
  %after = add nuw i64 %at, %length
  br label %next

done:
  ret void
}

define internal void @launch(ptr %step, ptr %slots, ptr %buffers, ptr %process) {
entry:
  %count = call i64 @word(ptr %step, i64 ${LaunchStep.BUFFER_COUNT})
  %indices = getelementptr inbounds i64, ptr %step, i64 ${LaunchStep.BUFFERS}
  br label %next

next:
  %i = phi i64 [ 0, %entry ], [ %i.next, %gather ]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %gather, label %gathered

gather:
  %index = call i64 @word(ptr %indices, i64 %i)
  %buffer = call ptr @pointer(ptr %slots, i64 %index)
  call void @set_pointer(ptr %buffers, i64 %i, ptr %buffer)
  %i.next = add nuw i64 %i, 1
  br label %next

gathered:
  %size = call i64 @word(ptr %step, i64 ${LaunchStep.SIZE})
  %grain = call i64 @word(ptr %step, i64 ${LaunchStep.GRAIN})
  %never = icmp eq i64 %grain, 0
  br i1 %never, label %serial, label %count.chunks

count.chunks:
  %threads = call i64 @word(ptr %process, i64 ${Process.THREADS})
  %most = mul nuw i64 %threads, ${CHUNKS_PER_THREAD}
  %wanted = udiv i64 %size, %grain
  %chunks = call i64 @llvm.umin.i64(i64 %most, i64 %wanted)
  %divisible = icmp ugt i64 %chunks, 1
  %several = icmp ugt i64 %threads, 1
  %worth = and i1 %divisible, %several
  br i1 %worth, label %parallel, label %serial

parallel:
  %shared = call i1 @parallel(ptr %step, ptr %buffers, i64 %size, i64 %chunks,
                              ptr %process)
  br i1 %shared, label %done, label %serial

serial:
  %kernel = call ptr @pointer(ptr %step, i64 ${LaunchStep.ADDRESS})
  %extents.at = call i64 @word(ptr %step, i64 ${LaunchStep.EXTENTS})
  %extents = getelementptr inbounds i64, ptr %step, i64 %extents.at
  call void %kernel(ptr %buffers, ptr %extents, i64 0, i64 %size)
  br label %done

done:
  ret void
}

; A product with a row or a column, 3 times faster than asking gemm for it.
define internal void @gemv(ptr %step, ptr %slots) {
entry:
  %blas = call ptr @pointer(ptr %step, i64 ${GemvStep.ADDRESS})
  %trans = getelementptr inbounds i64, ptr %step, i64 ${GemvStep.TRANS}
  %rows = getelementptr inbounds i64, ptr %step, i64 ${GemvStep.ROWS}
  %columns = getelementptr inbounds i64, ptr %step, i64 ${GemvStep.COLUMNS}
  %alpha = getelementptr inbounds i64, ptr %step, i64 ${GemvStep.ALPHA}
  %beta = getelementptr inbounds i64, ptr %step, i64 ${GemvStep.BETA}
  %ld = getelementptr inbounds i64, ptr %step, i64 ${GemvStep.LD}
  %incx = getelementptr inbounds i64, ptr %step, i64 ${GemvStep.INCX}
  %incy = getelementptr inbounds i64, ptr %step, i64 ${GemvStep.INCY}
  %batch = call i64 @word(ptr %step, i64 ${GemvStep.BATCH})
  %stride.a = call i64 @word(ptr %step, i64 ${GemvStep.STRIDE_MATRIX})
  %stride.x = call i64 @word(ptr %step, i64 ${GemvStep.STRIDE_X})
  %stride.y = call i64 @word(ptr %step, i64 ${GemvStep.STRIDE_Y})
  %slot.a = call i64 @word(ptr %step, i64 ${GemvStep.MATRIX})
  %slot.x = call i64 @word(ptr %step, i64 ${GemvStep.X})
  %slot.y = call i64 @word(ptr %step, i64 ${GemvStep.Y})
  %clear = call i64 @word(ptr %step, i64 ${GemvStep.CLEAR})
  %itemsize = call i64 @word(ptr %step, i64 ${GemvStep.ITEMSIZE})
  %incy.value = call i64 @word(ptr %step, i64 ${GemvStep.INCY})
  %step.y = mul i64 %itemsize, %incy.value
  %a.first = call ptr @pointer(ptr %slots, i64 %slot.a)
  %x.first = call ptr @pointer(ptr %slots, i64 %slot.x)
  %y.first = call ptr @pointer(ptr %slots, i64 %slot.y)
  br label %next

next:
  %i = phi i64 [ 0, %entry ], [ %i.next, %multiply ]
  %a = phi ptr [ %a.first, %entry ], [ %a.next, %multiply ]
  %x = phi ptr [ %x.first, %entry ], [ %x.next, %multiply ]
  %y = phi ptr [ %y.first, %entry ], [ %y.next, %multiply ]
  %more = icmp ult i64 %i, %batch
  br i1 %more, label %wipe, label %done

wipe: ; not every gemv overwrites a NaN when beta is 0
  %j = phi i64 [ 0, %next ], [ %j.next, %zero ]
  %item = phi ptr [ %y, %next ], [ %item.next, %zero ]
  %dirty = icmp ult i64 %j, %clear
  br i1 %dirty, label %zero, label %multiply

zero:
  call void @llvm.memset.p0.i64(ptr %item, i8 0, i64 %itemsize, i1 false)
  %j.next = add nuw i64 %j, 1
  %item.next = getelementptr i8, ptr %item, i64 %step.y
  br label %wipe

multiply:
  call void %blas(ptr %trans, ptr %rows, ptr %columns, ptr %alpha, ptr %a, ptr %ld,
                  ptr %x, ptr %incx, ptr %beta, ptr %y, ptr %incy)
  %i.next = add nuw i64 %i, 1
  %a.next = getelementptr i8, ptr %a, i64 %stride.a
  %x.next = getelementptr i8, ptr %x, i64 %stride.x
  %y.next = getelementptr i8, ptr %y, i64 %stride.y
  br label %next

done:
  ret void
}

declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare i64 @llvm.umin.i64(i64, i64)
"""

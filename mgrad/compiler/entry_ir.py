"""LLVM IR of `mgrad_entry`, the function that Python calls to run a program.

It checks the leaves, allocates the outputs, and calls `mgrad_run`. Compiled once and
cached like any kernel; what lives in this process it finds in words (`layout`).
"""

from __future__ import annotations

from mgrad.compiler.layout import WORD_HELPERS, fill


def entry_ir() -> str:
    """`PyObject *mgrad_entry(state, leaves)`, a METH_O function."""
    return fill(WORD_HELPERS + _ENTRY)


_ENTRY = """
; PyObject *entry(PyObject *state, PyObject *leaves). `state` is an array of words.
define ptr @mgrad_entry(ptr %self, ptr %leaves) {
entry:
  %state = call ptr @pointer_field(ptr %self, i64 ${ARRAY_DATA})
  %process = call ptr @pointer(ptr %state, i64 ${State.PROCESS})
  %type = call ptr @pointer_field(ptr %leaves, i64 ${OB_TYPE})
  %tuple = call ptr @pointer(ptr %process, i64 ${Process.TUPLE_TYPE})
  %is.tuple = icmp eq ptr %type, %tuple
  br i1 %is.tuple, label %measure, label %mismatch

measure:
  %length.at = call ptr @field(ptr %leaves, i64 ${OB_SIZE})
  %length = load i64, ptr %length.at, align 8
  %expected = call i64 @word(ptr %state, i64 ${State.LEAVES})
  %is.length = icmp eq i64 %length, %expected
  br i1 %is.length, label %take, label %mismatch

mismatch:
  %answer = call ptr @not_implemented(ptr %process)
  ret ptr %answer

take:
  %table.own = call ptr @pointer(ptr %state, i64 ${State.TABLE})
  %resident = call i1 @acquire(ptr %state)
  br i1 %resident, label %bind, label %borrow

borrow:
  %table.new = call ptr @new_table(ptr %state, ptr %process)
  %got = icmp ne ptr %table.new, null
  br i1 %got, label %bind, label %no.memory

no.memory:
  %raise = call ptr @pointer(ptr %process, i64 ${Process.NO_MEMORY})
  %nothing = call ptr %raise()
  ret ptr null

bind:
  %table = phi ptr [ %table.own, %take ], [ %table.new, %borrow ]
  %items = call ptr @field(ptr %leaves, i64 ${OB_ITEM})
  %bound = call i1 @bind_inputs(ptr %state, ptr %items, ptr %table, ptr %process)
  br i1 %bound, label %allocate, label %refuse

refuse:
  %refusal = call ptr @not_implemented(ptr %process)
  br label %leave

allocate:
  %allocated = call i1 @new_outputs(ptr %state, ptr %table, ptr %process)
  br i1 %allocated, label %run, label %leave

run:
  call void @bind_views(ptr %state, ptr %table)
  call void @run(ptr %state, ptr %table, ptr %process)
  %results = call ptr @collect(ptr %state, ptr %table, ptr %process)
  br label %leave

leave:
  %result = phi ptr [ %refusal, %refuse ], [ null, %allocate ], [ %results, %run ]
  br i1 %resident, label %give.back, label %free

give.back:
  store atomic i64 0, ptr %state release, align 8
  ret ptr %result

free:
  %free.function = call ptr @pointer(ptr %process, i64 ${Process.FREE})
  call void %free.function(ptr %table)
  ret ptr %result
}

define internal ptr @not_implemented(ptr %process) {
  %object = call ptr @pointer(ptr %process, i64 ${Process.NOT_IMPLEMENTED})
  call void @incref(ptr %object, ptr %process)
  ret ptr %object
}

define internal void @incref(ptr %object, ptr %process) alwaysinline {
  %function = call ptr @pointer(ptr %process, i64 ${Process.INCREF})
  call void %function(ptr %object)
  ret void
}

define internal void @decref(ptr %object, ptr %process) alwaysinline {
  %function = call ptr @pointer(ptr %process, i64 ${Process.DECREF})
  call void %function(ptr %object)
  ret void
}

; A copy of the table, with an arena behind it, for a call that runs beside another.
define internal ptr @new_table(ptr %state, ptr %process) noinline {
entry:
  %table.bytes = call i64 @word(ptr %state, i64 ${State.TABLE_BYTES})
  %arena.bytes = call i64 @word(ptr %state, i64 ${State.ARENA_BYTES})
  %both = add i64 %table.bytes, %arena.bytes
  %bytes = add i64 %both, 64
  %malloc = call ptr @pointer(ptr %process, i64 ${Process.MALLOC})
  %table = call ptr %malloc(i64 %bytes)
  %failed = icmp eq ptr %table, null
  br i1 %failed, label %done, label %copy

copy:
  %own = call ptr @pointer(ptr %state, i64 ${State.TABLE})
  call void @llvm.memcpy.p0.p0.i64(ptr align 8 %table, ptr align 8 %own,
                                   i64 %table.bytes, i1 false)
  %behind = getelementptr inbounds i8, ptr %table, i64 %table.bytes
  %behind.int = ptrtoint ptr %behind to i64
  %up = add i64 %behind.int, 63
  %arena.int = and i64 %up, -64
  %arena = inttoptr i64 %arena.int to ptr
  %pairs = call ptr @pointer(ptr %state, i64 ${State.TEMPORARIES})
  %count = call i64 @word(ptr %state, i64 ${State.TEMPORARY_COUNT})
  br label %next

next:
  %i = phi i64 [ 0, %copy ], [ %i.next, %place ]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %place, label %done

place:
  %pair.at = mul nuw i64 %i, 2
  %pair = getelementptr inbounds i64, ptr %pairs, i64 %pair.at
  %slot = call i64 @word(ptr %pair, i64 0)
  %offset = call i64 @word(ptr %pair, i64 1)
  %address = getelementptr inbounds i8, ptr %arena, i64 %offset
  call void @set_pointer(ptr %table, i64 %slot, ptr %address)
  %i.next = add nuw i64 %i, 1
  br label %next

done:
  ret ptr %table
}

; Checks each leaf and puts its data pointer into the table; false at a mismatch.
define internal i1 @bind_inputs(ptr %state, ptr %items, ptr %table, ptr %process) {
entry:
  %specs = call ptr @pointer(ptr %state, i64 ${State.INPUTS})
  %count = call i64 @word(ptr %state, i64 ${State.INPUT_COUNT})
  %array.type = call ptr @pointer(ptr %process, i64 ${Process.ARRAY_TYPE})
  br label %next

next:
  %i = phi i64 [ 0, %entry ], [ %i.next, %bind ]
  %spec = phi ptr [ %specs, %entry ], [ %spec.next, %bind ]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %check, label %matched

check:
  %leaf.index = call i64 @word(ptr %spec, i64 ${InputSpec.LEAF})
  %leaf = call ptr @pointer(ptr %items, i64 %leaf.index)
  %type = call ptr @pointer_field(ptr %leaf, i64 ${OB_TYPE})
  %is.array = icmp eq ptr %type, %array.type
  br i1 %is.array, label %array, label %scalar

array:
  %fits = call i1 @array_fits(ptr %leaf, ptr %spec)
  br i1 %fits, label %array.data, label %mismatched

array.data:
  %data.array = call ptr @pointer_field(ptr %leaf, i64 ${ARRAY_DATA})
  br label %bind

scalar:
  %data.scalar = call ptr @scalar_data(ptr %leaf, ptr %type, ptr %spec, ptr %table,
                                       ptr %process)
  %is.scalar = icmp ne ptr %data.scalar, null
  br i1 %is.scalar, label %bind, label %mismatched

bind:
  %data = phi ptr [ %data.array, %array.data ], [ %data.scalar, %scalar ]
  %slot = call i64 @word(ptr %spec, i64 ${InputSpec.SLOT})
  call void @set_pointer(ptr %table, i64 %slot, ptr %data)
  %length = call i64 @word(ptr %spec, i64 ${InputSpec.LENGTH})
  %spec.next = getelementptr inbounds i64, ptr %spec, i64 %length
  %i.next = add nuw i64 %i, 1
  br label %next

matched:
  ret i1 true

mismatched:
  ret i1 false
}

define internal i1 @array_fits(ptr %array, ptr %spec) {
entry:
  %descr = call ptr @pointer_field(ptr %array, i64 ${ARRAY_DESCR})
  %wanted = call ptr @pointer(ptr %spec, i64 ${InputSpec.DESCR})
  %same = icmp eq ptr %descr, %wanted
  br i1 %same, label %layout, label %compare

compare: ; another descriptor object, perhaps of the same native type
  %type.at = call ptr @field(ptr %descr, i64 ${DESCR_TYPE_NUM})
  %type.int = load i32, ptr %type.at, align 4
  %type = sext i32 %type.int to i64
  %type.wanted = call i64 @word(ptr %spec, i64 ${InputSpec.TYPE_NUM})
  %same.type = icmp eq i64 %type, %type.wanted
  %order.at = call ptr @field(ptr %descr, i64 ${DESCR_BYTEORDER})
  %order = load i8, ptr %order.at, align 1
  %native = icmp eq i8 %order, ${NATIVE}
  %orderless = icmp eq i8 %order, ${ORDERLESS}
  %readable = or i1 %native, %orderless
  %equal = and i1 %same.type, %readable
  br i1 %equal, label %layout, label %misfit

layout:
  %flags.at = call ptr @field(ptr %array, i64 ${ARRAY_FLAGS})
  %flags = load i32, ptr %flags.at, align 4
  %both = and i32 %flags, ${CONTIGUOUS_AND_ALIGNED}
  %plain = icmp eq i32 %both, ${CONTIGUOUS_AND_ALIGNED}
  %ndim.at = call ptr @field(ptr %array, i64 ${ARRAY_NDIM})
  %ndim.int = load i32, ptr %ndim.at, align 4
  %ndim = sext i32 %ndim.int to i64
  %ndim.wanted = call i64 @word(ptr %spec, i64 ${InputSpec.NDIM})
  %same.ndim = icmp eq i64 %ndim, %ndim.wanted
  %good = and i1 %plain, %same.ndim
  br i1 %good, label %shape, label %misfit

shape:
  %dims = call ptr @pointer_field(ptr %array, i64 ${ARRAY_DIMS})
  %dims.wanted = getelementptr inbounds i64, ptr %spec, i64 ${InputSpec.DIMS}
  br label %next

next:
  %i = phi i64 [ 0, %shape ], [ %i.next, %compare.dim ]
  %more = icmp ult i64 %i, %ndim
  br i1 %more, label %compare.dim, label %fit

compare.dim:
  %dim = call i64 @word(ptr %dims, i64 %i)
  %dim.wanted = call i64 @word(ptr %dims.wanted, i64 %i)
  %i.next = add nuw i64 %i, 1
  %same.dim = icmp eq i64 %dim, %dim.wanted
  br i1 %same.dim, label %next, label %misfit

fit:
  ret i1 true

misfit:
  ret i1 false
}

; Where the value of a NumPy or Python scalar is; null if the slot does not take it.
define internal ptr @scalar_data(ptr %leaf, ptr %type, ptr %spec, ptr %table,
                                 ptr %process) {
entry:
  %overflow = alloca i32, align 4
  %value.at = call ptr @field(ptr %leaf, i64 ${OB_VALUE})
  %scratch.index = call i64 @word(ptr %spec, i64 ${InputSpec.SCRATCH})
  %scratch = getelementptr inbounds i64, ptr %table, i64 %scratch.index
  %numpy.type = call ptr @pointer(ptr %spec, i64 ${InputSpec.SCALAR_TYPE})
  %is.numpy = icmp eq ptr %type, %numpy.type
  br i1 %is.numpy, label %in.place, label %python

in.place:
  ret ptr %value.at

python:
  %kind = call i64 @word(ptr %spec, i64 ${InputSpec.PYTHON_SCALAR})
  switch i64 %kind, label %misfit [ i64 ${FLOAT64}, label %float
                                    i64 ${FLOAT32}, label %float
                                    i64 ${INT64}, label %int
                                    i64 ${BOOL}, label %bool ]

float:
  %float.type = call ptr @pointer(ptr %process, i64 ${Process.FLOAT_TYPE})
  %is.float = icmp eq ptr %type, %float.type
  br i1 %is.float, label %width, label %misfit

width:
  %is.double = icmp eq i64 %kind, ${FLOAT64}
  br i1 %is.double, label %in.place, label %single

single:
  %double = load double, ptr %value.at, align 8
  %rounded = fptrunc double %double to float
  store float %rounded, ptr %scratch, align 8
  ret ptr %scratch

int:
  %int.type = call ptr @pointer(ptr %process, i64 ${Process.INT_TYPE})
  %is.int = icmp eq ptr %type, %int.type
  br i1 %is.int, label %convert, label %misfit

convert:
  %as.int64 = call ptr @pointer(ptr %process, i64 ${Process.LONG_AS_INT64})
  %integer = call i64 %as.int64(ptr %leaf, ptr %overflow)
  store i64 %integer, ptr %scratch, align 8
  %overflowed = load i32, ptr %overflow, align 4
  %held = icmp eq i32 %overflowed, 0
  br i1 %held, label %stored, label %misfit

bool:
  %true = call ptr @pointer(ptr %process, i64 ${Process.TRUE})
  %is.true = icmp eq ptr %leaf, %true
  %false = call ptr @pointer(ptr %process, i64 ${Process.FALSE})
  %is.false = icmp eq ptr %leaf, %false
  %is.bool = or i1 %is.true, %is.false
  %truth = zext i1 %is.true to i8
  store i8 %truth, ptr %scratch, align 8
  br i1 %is.bool, label %stored, label %misfit

stored:
  ret ptr %scratch

misfit:
  ret ptr null
}

; Allocates the outputs; on failure frees them and leaves NumPy's exception set.
define internal i1 @new_outputs(ptr %state, ptr %table, ptr %process) {
entry:
  %specs = call ptr @pointer(ptr %state, i64 ${State.OUTPUTS})
  %count = call i64 @word(ptr %state, i64 ${State.OUTPUT_COUNT})
  %objects.at = call i64 @word(ptr %state, i64 ${State.OBJECTS})
  %objects = getelementptr inbounds ptr, ptr %table, i64 %objects.at
  %new = call ptr @pointer(ptr %process, i64 ${Process.NEW_ARRAY})
  br label %next

next:
  %i = phi i64 [ 0, %entry ], [ %i.next, %place ]
  %spec = phi ptr [ %specs, %entry ], [ %spec.next, %place ]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %allocate, label %done

allocate:
  %ndim = call i64 @word(ptr %spec, i64 ${OutputSpec.NDIM})
  %is.scalar = icmp eq i64 %ndim, 0
  br i1 %is.scalar, label %scalar, label %array

scalar:
  %scratch.index = call i64 @word(ptr %spec, i64 ${OutputSpec.SCRATCH})
  %scratch = getelementptr inbounds i64, ptr %table, i64 %scratch.index
  br label %place

array:
  %descr = call ptr @pointer(ptr %spec, i64 ${OutputSpec.DESCR})
  call void @incref(ptr %descr, ptr %process)
  %ndim.int = trunc i64 %ndim to i32
  %dims = getelementptr inbounds i64, ptr %spec, i64 ${OutputSpec.DIMS}
  %array.object = call ptr %new(i32 %ndim.int, ptr %dims, ptr %descr, i32 0)
  %failed = icmp eq ptr %array.object, null
  br i1 %failed, label %undo, label %array.data

array.data:
  %data.array = call ptr @pointer_field(ptr %array.object, i64 ${ARRAY_DATA})
  br label %place

place:
  %object = phi ptr [ null, %scalar ], [ %array.object, %array.data ]
  %data = phi ptr [ %scratch, %scalar ], [ %data.array, %array.data ]
  call void @set_pointer(ptr %objects, i64 %i, ptr %object)
  %slot = call i64 @word(ptr %spec, i64 ${OutputSpec.SLOT})
  call void @set_pointer(ptr %table, i64 %slot, ptr %data)
  %length = call i64 @word(ptr %spec, i64 ${OutputSpec.LENGTH})
  %spec.next = getelementptr inbounds i64, ptr %spec, i64 %length
  %i.next = add nuw i64 %i, 1
  br label %next

undo:
  call void @drop(ptr %objects, i64 0, i64 %i, ptr %process)
  ret i1 false

done:
  ret i1 true
}

; Releases objects[from:to], of which some may be null.
define internal void @drop(ptr %objects, i64 %from, i64 %to, ptr %process) noinline {
entry:
  br label %next

next:
  %i = phi i64 [ %from, %entry ], [ %i.next, %advance ]
  %more = icmp ult i64 %i, %to
  br i1 %more, label %look, label %done

look:
  %object = call ptr @pointer(ptr %objects, i64 %i)
  %is.null = icmp eq ptr %object, null
  br i1 %is.null, label %advance, label %release

release:
  call void @decref(ptr %object, ptr %process)
  br label %advance

advance:
  %i.next = add nuw i64 %i, 1
  br label %next

done:
  ret void
}

; Views of inputs and outputs; those of constants and temporaries are in the table.
define internal void @bind_views(ptr %state, ptr %table) {
entry:
  %views = call ptr @pointer(ptr %state, i64 ${State.VIEWS})
  %count = call i64 @word(ptr %state, i64 ${State.VIEW_COUNT})
  br label %next

next:
  %i = phi i64 [ 0, %entry ], [ %i.next, %bind ]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %bind, label %done

bind:
  %view.at = mul nuw i64 %i, 3
  %view = getelementptr inbounds i64, ptr %views, i64 %view.at
  %slot = call i64 @word(ptr %view, i64 0)
  %root = call i64 @word(ptr %view, i64 1)
  %offset = call i64 @word(ptr %view, i64 2)
  %base = call ptr @pointer(ptr %table, i64 %root)
  %address = getelementptr i8, ptr %base, i64 %offset
  call void @set_pointer(ptr %table, i64 %slot, ptr %address)
  %i.next = add nuw i64 %i, 1
  br label %next

done:
  ret void
}

define internal void @run(ptr %state, ptr %table, ptr %process) alwaysinline {
entry:
  %steps = call ptr @pointer(ptr %state, i64 ${State.STEPS})
  %step_words = call i64 @word(ptr %state, i64 ${State.STEP_WORDS})
  %width = call i64 @word(ptr %state, i64 ${State.WIDTH})
  %function = call ptr @pointer(ptr %process, i64 ${Process.RUN})
  %release = call i64 @word(ptr %state, i64 ${State.RELEASE_GIL})
  %long = icmp ne i64 %release, 0
  br i1 %long, label %without.gil, label %with.gil

with.gil:
  call void %function(ptr %table, ptr %steps, i64 %step_words, i64 %width, ptr %process)
  ret void

without.gil:
  %save = call ptr @pointer(ptr %process, i64 ${Process.SAVE_THREAD})
  %thread = call ptr %save()
  call void %function(ptr %table, ptr %steps, i64 %step_words, i64 %width, ptr %process)
  %restore = call ptr @pointer(ptr %process, i64 ${Process.RESTORE_THREAD})
  call void %restore(ptr %thread)
  ret void
}

; The tuple of results, made after the run: nobody sees it half full. Null on failure.
define internal ptr @collect(ptr %state, ptr %table, ptr %process) {
entry:
  %count = call i64 @word(ptr %state, i64 ${State.OUTPUT_COUNT})
  %objects.at = call i64 @word(ptr %state, i64 ${State.OBJECTS})
  %objects = getelementptr inbounds ptr, ptr %table, i64 %objects.at
  %specs = call ptr @pointer(ptr %state, i64 ${State.OUTPUTS})
  %new.tuple = call ptr @pointer(ptr %process, i64 ${Process.NEW_TUPLE})
  %new.scalar = call ptr @pointer(ptr %process, i64 ${Process.NEW_SCALAR})
  %results = call ptr %new.tuple(i64 %count)
  %no.tuple = icmp eq ptr %results, null
  br i1 %no.tuple, label %undo, label %fill

undo:
  call void @drop(ptr %objects, i64 0, i64 %count, ptr %process)
  ret ptr null

fill:
  %items = call ptr @field(ptr %results, i64 ${OB_ITEM})
  br label %next

next:
  %i = phi i64 [ 0, %fill ], [ %i.next, %place ]
  %spec = phi ptr [ %specs, %fill ], [ %spec.next, %place ]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %look, label %done

look:
  %array = call ptr @pointer(ptr %objects, i64 %i)
  %is.scalar = icmp eq ptr %array, null
  br i1 %is.scalar, label %scalar, label %place

scalar:
  %slot = call i64 @word(ptr %spec, i64 ${OutputSpec.SLOT})
  %data = call ptr @pointer(ptr %table, i64 %slot)
  %descr = call ptr @pointer(ptr %spec, i64 ${OutputSpec.DESCR})
  %scalar.object = call ptr %new.scalar(ptr %data, ptr %descr, ptr null)
  %failed = icmp eq ptr %scalar.object, null
  br i1 %failed, label %undo.rest, label %place

undo.rest: ; the tuple owns objects[:i]
  call void @drop(ptr %objects, i64 %i, i64 %count, ptr %process)
  call void @decref(ptr %results, ptr %process)
  ret ptr null

place:
  %object = phi ptr [ %array, %look ], [ %scalar.object, %scalar ]
  call void @set_pointer(ptr %items, i64 %i, ptr %object)
  %length = call i64 @word(ptr %spec, i64 ${OutputSpec.LENGTH})
  %spec.next = getelementptr inbounds i64, ptr %spec, i64 %length
  %i.next = add nuw i64 %i, 1
  br label %next

done:
  ret ptr %results
}

declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
"""

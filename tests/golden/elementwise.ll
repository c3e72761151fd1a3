; mathematics: ...

define internal void @body(ptr noalias %b0, ptr noalias %b1, ptr noalias %b2, ptr noalias %b3, ptr noalias readonly %extents, i64 %lo, i64 %hi) noinline {
entry:
  %ep0 = getelementptr inbounds i64, ptr %extents, i64 0
  %e0 = load i64, ptr %ep0
  %t2 = icmp ult i64 %lo, %hi
  br i1 %t2, label %loop1.1, label %exit1.1
loop1.1:
  %i1.1.1 = phi i64 [ %lo, %entry ], [ %next1.1, %latch1.1 ]
  %t3 = getelementptr inbounds double, ptr %b0, i64 %i1.1.1
  %x1 = load double, ptr %t3
  %t4 = getelementptr inbounds double, ptr %b1, i64 %i1.1.1
  %x2 = load double, ptr %t4
  %x3 = fmul contract double %x2, %x1
  %x4 = fadd contract double %x3, 0x3FF0000000000000
  %t7 = getelementptr inbounds double, ptr %b2, i64 %i1.1.1
  store double %x4, ptr %t7
  %t8 = fcmp ogt double 0x0000000000000000, %x2
  %x5 = select i1 %t8, double 0x0000000000000000, double %x2
  %t10 = getelementptr inbounds double, ptr %b3, i64 %i1.1.1
  store double %x5, ptr %t10
  br label %latch1.1
latch1.1:
  %next1.1 = add nuw nsw i64 %i1.1.1, 1
  %t11 = icmp ult i64 %next1.1, %hi
  br i1 %t11, label %loop1.1, label %exit1.1
exit1.1:
  ret void
}
define void @kernel0(ptr %buffers, ptr %extents, i64 %lo, i64 %hi) {
  %p0 = getelementptr inbounds ptr, ptr %buffers, i64 0
  %b0 = load ptr, ptr %p0
  %p1 = getelementptr inbounds ptr, ptr %buffers, i64 1
  %b1 = load ptr, ptr %p1
  %p2 = getelementptr inbounds ptr, ptr %buffers, i64 2
  %b2 = load ptr, ptr %p2
  %p3 = getelementptr inbounds ptr, ptr %buffers, i64 3
  %b3 = load ptr, ptr %p3
  call void @body(ptr %b0, ptr %b1, ptr %b2, ptr %b3, ptr %extents, i64 %lo, i64 %hi)
  ret void
}

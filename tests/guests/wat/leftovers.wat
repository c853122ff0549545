;; Counts what an earlier instance left in memory and table, which is nothing, and leaves as much as it can: more than the
;; part of a slot that stays resident between instances.
(component
  (core module $module
    (memory 4)
    (table $table 20000 funcref)
    (elem declare func $count)
    (func $count (export "count") (param $pages i32) (result i32)
      (local $found i32) (local $at i32)
      ;; Memory: 4 pages of 64 KiB, in steps of 4 bytes.
      (loop $again
        (if (i32.load (local.get $at)) (then (local.set $found (i32.add (local.get $found) (i32.const 1)))))
        (local.set $at (i32.add (local.get $at) (i32.const 4)))
        (br_if $again (i32.lt_u (local.get $at) (i32.const 262144))))
      ;; Table.
      (local.set $at (i32.const 0))
      (loop $again
        (if (i32.eqz (ref.is_null (table.get $table (local.get $at))))
          (then (local.set $found (i32.add (local.get $found) (i32.const 1)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $at) (i32.const 20000))))
      (memory.fill (i32.const 0) (i32.const 0xa5) (i32.mul (local.get $pages) (i32.const 4096)))
      (table.fill $table (i32.const 0) (ref.func $count) (i32.const 20000))
      (local.get $found)))
  (core instance $instance (instantiate $module))
  (func (export "count") (param "pages" u32) (result u32) (canon lift (core func $instance "count"))))

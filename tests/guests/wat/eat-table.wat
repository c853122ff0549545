;; Grows a table until that is refused, then tells how many elements it got.
(component
  (core module $module
    (table $table 1 funcref)
    (func (export "measure-table") (result i32)
      (block $refused
        (loop $again
          (br_if $refused (i32.eq (table.grow $table (ref.null func) (i32.const 1024)) (i32.const -1)))
          (br $again)))
      (table.size $table)))
  (core instance $instance (instantiate $module))
  (func (export "measure-table") (result u32) (canon lift (core func $instance "measure-table"))))

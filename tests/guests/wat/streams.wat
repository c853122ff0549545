;; Functions over a stream and a future, which have no JSON form, beside one that is fine.
(component
  (core module $module
    (func (export "fine") (result i32) i32.const 42)
    (func (export "drain") (param i32) (result i32) i32.const 0))
  (core instance $instance (instantiate $module))
  (func (export "fine") (result u32) (canon lift (core func $instance "fine")))
  (type $bytes (stream u8))
  (type $later (future u32))
  (func (export "drain-stream") (param "bytes" $bytes) (result u32) (canon lift (core func $instance "drain")))
  (func (export "await-future") (param "later" $later) (result u32) (canon lift (core func $instance "drain"))))

;; A component that never gets through its start: the deadline of a call has to cover the instantiation.
(component
  (core module $module
    (func $start (loop $again br $again))
    (start $start)
    (func (export "hello") (result i32) i32.const 42))
  (core instance $instance (instantiate $module))
  (func (export "hello") (result u32) (canon lift (core func $instance "hello"))))

;; A core module and not a component: what an author gets from the target wasm32-wasip1.
(module
  (func (export "hello") (result i32) i32.const 42))

(module
  ;; Calls one host function over and over; each export returns how many of the calls answered 0.
  (import "wasi_ephemeral_nn" "load_by_name" (func $load_by_name (param i32 i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "init_execution_context" (func $init (param i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "set_input" (func $set_input (param i32 i32 i32) (result i32)))
  (memory (export "memory") 4)
  (func (export "graphs") (param $name i32) (param $length i32) (param $times i32) (result i32) (local $good i32)
    (loop $again
      (local.set $good (i32.add (local.get $good)
        (i32.eqz (call $load_by_name (local.get $name) (local.get $length) (i32.const 16)))))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (local.get $good))
  (func (export "contexts") (param $graph i32) (param $times i32) (result i32) (local $good i32)
    (loop $again
      (local.set $good (i32.add (local.get $good) (i32.eqz (call $init (local.get $graph) (i32.const 16)))))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (local.get $good))
  (func (export "inputs") (param $context i32) (param $tensor i32) (param $times i32) (result i32) (local $good i32)
    (loop $again
      (local.set $good (i32.add (local.get $good)
        (i32.eqz (call $set_input (local.get $context) (i32.const 0) (local.get $tensor)))))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (local.get $good)))

;; The smallest CGI program: one write.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "\10\00\00\00\20\00\00\00")
  (data (i32.const 16) "Content-Type: text/plain\r\n\r\nhello\n")
  (func (export "_start")
    (i32.store (i32.const 8) (i32.const 16))
    (i32.store (i32.const 12) (i32.const 34))
    (drop (call $fd_write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0)))))

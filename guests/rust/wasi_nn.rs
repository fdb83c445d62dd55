//! wasi-nn for Rust: models by name, over the core ABI. One file without dependencies: `mod wasi_nn;`
//!
//! ```ignore
//! let output = wasi_nn::infer("linear", &[wasi_nn::Tensor::of(&[1, 1], &[20f32])])?;
//! let y: Vec<f32> = output.values();
//! ```
#![allow(dead_code)]

use std::fmt;

/// An element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Type {
    F16 = 0,
    F32 = 1,
    F64 = 2,
    U8 = 3,
    I32 = 4,
    I64 = 5,
}

/// A number that tensors are made of.
pub trait Element: Copy {
    const TYPE: Type;
    fn put(self, bytes: &mut Vec<u8>);
    fn get(bytes: &[u8]) -> Self;
}

macro_rules! element {
    ($($number:ty: $kind:ident),*) => {$(
        impl Element for $number {
            const TYPE: Type = Type::$kind;
            fn put(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
            fn get(bytes: &[u8]) -> Self {
                let mut own = [0; std::mem::size_of::<$number>()];
                own.copy_from_slice(bytes);
                <$number>::from_le_bytes(own)
            }
        }
    )*};
}

element!(f32: F32, f64: F64, u8: U8, i32: I32, i64: I64);

/// An input: row-major, little-endian, without gaps.
pub struct Tensor {
    pub dims: Vec<u32>,
    pub kind: Type,
    pub data: Vec<u8>,
}

impl Tensor {
    /// A tensor of numbers.
    pub fn of<E: Element>(dims: &[u32], numbers: &[E]) -> Tensor {
        let mut data = Vec::with_capacity(std::mem::size_of_val(numbers));
        numbers.iter().for_each(|number| number.put(&mut data));
        Tensor { dims: dims.to_vec(), kind: E::TYPE, data }
    }
}

/// An output's bytes. The core ABI tells neither their type nor their shape: the model's card does.
pub struct Output(pub Vec<u8>);

impl Output {
    /// The bytes as numbers.
    pub fn values<E: Element>(&self) -> Vec<E> {
        self.0.chunks_exact(std::mem::size_of::<E>()).map(E::get).collect()
    }
}

/// Why an inference failed; more stands in the function's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    InvalidArgument,
    InvalidEncoding,
    MissingMemory,
    Busy,
    RuntimeError,
    UnsupportedOperation,
    TooLarge,
    NotFound,
    Unknown(i32),
}

impl From<i32> for Error {
    fn from(errno: i32) -> Error {
        match errno {
            1 => Error::InvalidArgument,
            2 => Error::InvalidEncoding,
            3 => Error::MissingMemory,
            4 => Error::Busy,
            5 => Error::RuntimeError,
            6 => Error::UnsupportedOperation,
            7 => Error::TooLarge,
            8 => Error::NotFound,
            other => Error::Unknown(other),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:?}", self)
    }
}

impl std::error::Error for Error {}

#[repr(C)]
struct RawTensor {
    dims: *const u32,
    rank: u32,
    kind: u8,
    data: *const u8,
    size: u32,
}

#[link(wasm_import_module = "wasi_ephemeral_nn")]
extern "C" {
    fn load_by_name(name: *const u8, length: u32, graph: *mut u32) -> i32;
    fn init_execution_context(graph: u32, context: *mut u32) -> i32;
    fn set_input(context: u32, index: u32, tensor: *const RawTensor) -> i32;
    fn compute(context: u32) -> i32;
    fn get_output(context: u32, index: u32, buffer: *mut u8, size: u32, written: *mut u32) -> i32;
}

const TOO_LARGE: i32 = 7;
/// Bytes that most outputs fit in; a larger one is asked for once more.
const ROOM: usize = 16384;

fn checked(errno: i32) -> Result<(), Error> {
    if errno == 0 { Ok(()) } else { Err(Error::from(errno)) }
}

/// One inference with a named model: inputs by position, and as many outputs as `outputs` says.
pub fn infer_many(name: &str, inputs: &[Tensor], outputs: u32) -> Result<Vec<Output>, Error> {
    let (mut graph, mut context) = (0, 0);
    // SAFETY: the host reads and writes within the lengths that are given, before each call returns.
    unsafe {
        checked(load_by_name(name.as_ptr(), name.len() as u32, &mut graph))?;
        checked(init_execution_context(graph, &mut context))?;
        for (index, input) in inputs.iter().enumerate() {
            let raw = RawTensor {
                dims: input.dims.as_ptr(),
                rank: input.dims.len() as u32,
                kind: input.kind as u8,
                data: input.data.as_ptr(),
                size: input.data.len() as u32,
            };
            checked(set_input(context, index as u32, &raw))?;
        }
        checked(compute(context))?;
    }
    (0..outputs).map(|index| output(context, index)).collect()
}

/// One inference with a named model, for its first output.
pub fn infer(name: &str, inputs: &[Tensor]) -> Result<Output, Error> {
    infer_many(name, inputs, 1).map(|mut outputs| outputs.remove(0))
}

fn output(context: u32, index: u32) -> Result<Output, Error> {
    let mut data = vec![0; ROOM];
    let mut size = 0;
    loop {
        // SAFETY: the host writes no more than the buffer's length.
        let errno = unsafe { get_output(context, index, data.as_mut_ptr(), data.len() as u32, &mut size) };
        if errno == TOO_LARGE && size as usize > data.len() {
            data.resize(size as usize, 0);
            continue;
        }
        checked(errno)?;
        data.truncate(size as usize);
        return Ok(Output(data));
    }
}

//! Answers what the model %%model%% makes of the numbers in a request's body, a JSON list.

use std::io::Read;

mod wasi_nn;

fn main() {
    let mut body = String::new();
    std::io::stdin().read_to_string(&mut body).unwrap_or_default();
    let numbers: Vec<%%input_rust%%> = body
        .split(|letter: char| "[], \t\r\n".contains(letter))
        .filter_map(|word| word.parse().ok())
        .collect();

    let count = numbers.len() as u32;
    let input = wasi_nn::Tensor::of(&[%%dims%%], &numbers);
    match wasi_nn::infer("%%model%%", &[input]) {
        Ok(output) => println!("Content-Type: application/json\n\n{:?}", output.values::<%%output_rust%%>()),
        Err(error) => println!("Status: 500\nContent-Type: text/plain\n\n{}", error),
    }
}

//! A program, as a newcomer builds it for `wasm32-wasip2`: no plugin.

fn main() {
    println!("Hello, world!");
}

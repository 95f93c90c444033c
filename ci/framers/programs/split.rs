//! Rust's `BufRead::split`.

use std::io::{stdin, BufRead};

fn tell(kind: &str, value: &str) {
    println!("{{\"{kind}\": \"{value}\"}}");
}

fn main() {
    for line in stdin().lock().split(b'\n') {
        match line {
            Ok(bytes) => tell("line", &bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
            Err(error) => tell("error", &error.to_string()),
        }
    }
    tell("end", "");
}

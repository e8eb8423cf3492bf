//! Prints what building a client costs: `cargo run --release -p harness-core --example client_build`
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement, run by hand")]

use std::time::Instant;

use harness_core::model::anthropic::{Client, Config, Key};

fn main() {
    for url in ["http://127.0.0.1:4000", "http://gateway.example:4000", "https://api.anthropic.com"]
    {
        let times = [(); 5].map(|()| {
            let begun = Instant::now();
            let client = Client::new(Config::new(url, Key::None)).unwrap();
            let took = begun.elapsed().as_secs_f64() * 1e3;
            drop(client);
            format!("{took:.2}")
        });
        println!("{url}: {} ms", times.join(", "));
    }
}

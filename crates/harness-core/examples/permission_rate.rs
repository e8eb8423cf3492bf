//! How long a ruling takes: `cargo run --release --example permission_rate`.

use std::path::Path;
use std::time::{Duration, Instant};

fn main() -> Result<(), harness_core::permission::RulesError> {
    let start = Instant::now();
    let rules = harness_core::Rules::built_in()?;
    report("compiling the rules", start.elapsed());

    let table = concat!(
        include_str!("../tests/permission/dangerous.tsv"),
        include_str!("../tests/permission/harmless.tsv"),
    );
    let lines: Vec<&str> =
        table.lines().filter_map(|row| row.split_once('\t')).map(|row| row.1).collect();
    let cwd = Path::new("/home/me/project");
    let rate = |name: &str, line: &str, times: u32| {
        let start = Instant::now();
        for _ in 0..times {
            std::hint::black_box(rules.explain_line(line, cwd));
        }
        report(name, start.elapsed() / times);
    };
    let start = Instant::now();
    let mut slowest = (Duration::ZERO, "");
    for line in &lines {
        let start = Instant::now();
        std::hint::black_box(rules.explain_line(line, cwd));
        slowest = slowest.max((start.elapsed(), line));
    }
    let count = u32::try_from(lines.len()).unwrap_or(1);
    report(&format!("a line of the tables, mean of {count}"), start.elapsed() / count);
    report(&format!("the slowest of them, {:.40}", slowest.1), slowest.0);
    rate("ls -la", "ls -la", 2_000);
    let pipe = "git log --oneline --since='2 weeks ago' -- crates/harness-core/src | head -20 && \
                grep -rn 'fn main' crates sessions 2>/dev/null | sort | uniq -c && \
                cat crates/harness-core/Cargo.toml | wc -l; ls target";
    rate(&format!("{} characters", pipe.len()), pipe, 2_000);
    let pieces = [
        ("100 kB of words", "word "),
        ("100 kB of paths", "src/a.rs "),
        ("100 kB of commands", "ls -la src; "),
        ("100 kB of a pipeline", "cat x | "),
        ("100 kB of cat x ;", "cat x ; "),
        ("100 kB of ls |", "ls x | "),
        ("100kB of echo x |", "echo x |"),
        ("100 kB of quotes", "'a b' \"c\" "),
        ("100 kB of a remark", "# a "),
        ("100 kB of (", "("),
        ("100 kB of $(", "$("),
        ("100 kB of '", "'a"),
        ("100 kB of <<E", "<<E "),
        ("100 kB of sh -c", "sh -c 'ls'; "),
        ("100 kB of xargs", "xargs | "),
        ("100 kB of echo|sh", "echo x|sh|"),
        ("100 kB of {a,b}", "{a,b}"),
        ("100 kB of assignments", "x=$x$x; "),
        ("100 kB of if", "if "),
    ];
    for (name, piece) in pieces {
        rate(name, &format!("ls {}", piece.repeat(100_000 / piece.len())), 3);
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a measurement is printed")]
fn report(name: &str, took: Duration) {
    println!("{:>10.1} µs  {name}", took.as_secs_f64() * 1e6);
}

//! scratch
use std::io::BufRead;
fn main() {
    let r = match harness_core::Rules::built_in() {
        Ok(r) => r,
        Err(e) => {
            println!("{e}");
            return;
        }
    };
    for l in std::io::stdin().lock().lines() {
        let l = l.unwrap().replace("␤", "\n");
        let ru = r.explain_line(&l, std::path::Path::new("/work/wt/permission"));
        println!("{l:?} ro={}\n   {:?}", harness_core::permission::is_read_only(&l), ru.verdict);
        for p in ru.parts {
            println!("      {:?} {:?} {}", p.text, p.verdict, p.rule.map_or(0, |r| r.line));
        }
    }
}

//! `$'...'`: strings with C's escapes, a favourite place to hide a letter.

use super::word::{Lexer, Unit};

impl Lexer {
    pub(super) fn ansi_c(&mut self, units: &mut Vec<Unit>) {
        self.at += 1;
        units.push(Unit::Maybe(Vec::new()));
        while let Some(c) = self.peek(0) {
            self.at += 1;
            match c {
                '\'' => return,
                '\\' => {
                    let c = self.escape();
                    units.push(Unit::Quoted(c));
                }
                c => units.push(Unit::Quoted(c)),
            }
        }
        self.trouble = Some("a quote is not closed");
    }

    fn escape(&mut self) -> char {
        let Some(c) = self.peek(0) else { return '\\' };
        self.at += 1;
        match c {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'e' | 'E' => '\u{1b}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            'x' => self.number(16, 2),
            'u' => self.number(16, 4),
            'U' => self.number(16, 8),
            '0'..='7' => {
                self.at -= 1;
                self.number(8, 3)
            }
            'c' => {
                self.trouble = self.trouble.or(Some("a control character"));
                c
            }
            c => c,
        }
    }

    fn number(&mut self, radix: u32, most: usize) -> char {
        let mut value = 0u32;
        for _ in 0..most {
            let Some(digit) = self.peek(0).and_then(|c| c.to_digit(radix)) else { break };
            value = value.wrapping_mul(radix).wrapping_add(digit);
            self.at += 1;
        }
        char::from_u32(value).unwrap_or('\u{fffd}')
    }
}

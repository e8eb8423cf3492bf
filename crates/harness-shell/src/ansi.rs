//! `$'...'`: strings with C's escapes, a favourite place to hide a letter.

use crate::word::{Lexer, Unit};

impl Lexer {
    pub(super) fn ansi_c(&mut self, units: &mut Vec<Unit>) {
        self.at += 1;
        units.push(Unit::Maybe(Vec::new()));
        let mut ended = false;
        while let Some(c) = self.peek(0) {
            self.at += 1;
            match c {
                '\'' => return,
                '\\' => {
                    let c = self.escape();
                    // The shell ends the string here; what follows is not seen by anyone.
                    ended |= c == '\0';
                    if ended {
                        self.trouble = self.trouble.or(Some("a control character"));
                    } else {
                        units.push(Unit::Quoted(c));
                    }
                }
                c if !ended => units.push(Unit::Quoted(c)),
                _ => {}
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
            'x' => self.number(16, 2, 0xff),
            'u' => self.number(16, 4, u32::MAX),
            'U' => self.number(16, 8, u32::MAX),
            '0'..='7' => {
                self.at -= 1;
                self.number(8, 3, 0xff) // `\562` is `\162`
            }
            'c' => {
                self.trouble = self.trouble.or(Some("a control character"));
                c
            }
            c => c,
        }
    }

    fn number(&mut self, radix: u32, most: usize, mask: u32) -> char {
        let mut value = 0u32;
        for _ in 0..most {
            let Some(digit) = self.peek(0).and_then(|c| c.to_digit(radix)) else { break };
            value = value.wrapping_mul(radix).wrapping_add(digit);
            self.at += 1;
        }
        char::from_u32(value & mask).unwrap_or('\u{fffd}')
    }
}

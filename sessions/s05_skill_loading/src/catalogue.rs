//! The catalogue: what the model knows of every skill before it has loaded any.

/// A line a skill, by name and description, in at most so many bytes. Nobody pays for the others: the
/// descriptions that are too long are all cut to the same length. Nothing is cut in silence: a last
/// line, which the budget does not count, says how much.
pub fn catalogue(skills: &[(&str, &str)], budget: usize) -> String {
    let names: usize = skills.iter().map(|(name, _)| name.len() + "- : \n".len()).sum();
    let lengths = skills.iter().map(|(_, description)| description.len()).collect();
    let most = share(lengths, budget.saturating_sub(names));
    let (mut text, mut shortened, mut left_out) = (String::new(), 0, 0);
    for (name, description) in skills {
        let whole = description.len() <= most;
        let end = description.floor_char_boundary(most.saturating_sub('…'.len_utf8()));
        let line = match whole {
            true => format!("- {name}: {description}\n"),
            false => format!("- {name}: {}…\n", &description[..end]),
        };
        if text.len() + line.len() > budget {
            left_out += 1;
            continue;
        }
        shortened += usize::from(!whole);
        text.push_str(&line);
    }
    if shortened + left_out > 0 {
        let all = skills.len();
        text.push_str(&format!(
            "[no room for all of it: of {all} skills, {shortened} are listed with a shortened \
             description and {left_out} not at all]\n"
        ));
    }
    text
}

/// The longest that each text may be so that all have room: short ones stay whole, the others share
/// what those leave.
fn share(mut lengths: Vec<usize>, mut room: usize) -> usize {
    lengths.sort_unstable();
    let mut left = lengths.len();
    for length in lengths {
        if length > room / left {
            return room / left;
        }
        room -= length;
        left -= 1;
    }
    usize::MAX
}

//! Things that depend on each other by name, in an order in which each comes after those it needs.

use std::collections::HashMap;

/// How many names of a circle are told.
const TOLD: usize = 12;

/// What was found. Every number is a place in the list that was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// All places, each after those it depends on. A list that is in order already stays as it is.
    pub places: Vec<usize>,
    /// Of each place, those it depends on.
    pub before: Vec<Vec<usize>>,
}

/// Why there is no order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// A name is given twice.
    #[error("{0:?} is there twice")]
    Twice(String),
    /// Something depends on what is not there.
    #[error("{0} → {1:?}: there is no such thing")]
    Unknown(String, String),
    /// Each depends on the next, and the last is the first.
    #[error("a circle: {}", told(.0))]
    Circle(Vec<String>),
}

fn told(circle: &[String]) -> String {
    match circle.len() {
        0..=TOLD => circle.join(" → "),
        len => format!("{} → … ({} in all)", circle[..TOLD].join(" → "), len - 1),
    }
}

/// Orders things: the name of each, and the names of those it depends on.
///
/// # Errors
/// There is no order.
pub fn order<'a>(
    things: impl IntoIterator<Item = (&'a str, &'a [String])>,
) -> Result<Order, OrderError> {
    let (names, needs): (Vec<&str>, Vec<&[String]>) = things.into_iter().unzip();
    let mut known = HashMap::with_capacity(names.len());
    for (place, name) in names.iter().enumerate() {
        if known.insert(*name, place).is_some() {
            return Err(OrderError::Twice((*name).to_owned()));
        }
    }
    let mut before: Vec<Vec<usize>> = Vec::with_capacity(names.len());
    for (name, needs) in names.iter().zip(&needs) {
        let unknown = |need: &String| OrderError::Unknown((*name).to_owned(), need.clone());
        let place = |need: &String| known.get(need.as_str()).copied().ok_or_else(|| unknown(need));
        before.push(needs.iter().map(place).collect::<Result<_, _>>()?);
    }
    let mut states = vec![State::New; names.len()];
    let mut places = Vec::with_capacity(names.len());
    for start in 0..names.len() {
        // Down to what depends on nothing more, and back. A path and no recursion: it may be long.
        // With each place stands how many of those before it were looked at.
        let mut path = vec![(start, 0)];
        while let Some((place, looked)) = path.last_mut() {
            let (place, next) = (*place, before[*place].get(*looked).copied());
            *looked += 1;
            match next.map(|next| (next, states[next])) {
                _ if states[place] == State::Placed => drop(path.pop()),
                None => {
                    states[place] = State::Placed;
                    places.push(place);
                    path.pop();
                }
                Some((_, State::Placed)) => {}
                Some((next, State::New)) if next != place => {
                    states[place] = State::OnPath;
                    path.push((next, 0));
                }
                Some((next, _)) => {
                    let circle = path.iter().map(|(place, _)| *place);
                    let circle = circle.skip_while(|place| *place != next).chain([next]);
                    let names = circle.map(|place| names[place].to_owned()).collect();
                    return Err(OrderError::Circle(names));
                }
            }
        }
    }
    Ok(Order { places, before })
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    OnPath,
    Placed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(things: &[(&str, &[&str])]) -> Result<Vec<String>, String> {
        let needs: Vec<Vec<String>> = things
            .iter()
            .map(|(_, needs)| needs.iter().map(|n| (*n).to_owned()).collect())
            .collect();
        let listed = things.iter().zip(&needs).map(|((name, _), needs)| (*name, needs.as_slice()));
        let order = order(listed).map_err(|error| error.to_string())?;
        Ok(order.places.iter().map(|place| things[*place].0.to_owned()).collect())
    }

    #[test]
    fn each_comes_after_those_it_needs_and_order_is_kept_where_it_can_be() {
        assert_eq!(ordered(&[("a", &[]), ("b", &["a"]), ("c", &[])]).unwrap(), ["a", "b", "c"]);
        assert_eq!(
            ordered(&[("d", &["b", "c"]), ("b", &["a"]), ("a", &[]), ("c", &["a"])]).unwrap(),
            ["a", "b", "c", "d"]
        );
        assert_eq!(ordered(&[("a", &[]), ("b", &["a", "a"])]).unwrap(), ["a", "b"]);
        assert!(ordered(&[]).unwrap().is_empty());
    }

    #[test]
    fn what_has_no_order_is_told_with_the_path() {
        let said = |things: &[(&str, &[&str])]| ordered(things).unwrap_err();
        assert_eq!(said(&[("a", &["a"])]), "a circle: a → a");
        let things: &[(&str, &[&str])] =
            &[("x", &["b"]), ("a", &["b"]), ("b", &["c"]), ("c", &["a"])];
        assert_eq!(said(things), "a circle: b → c → a → b");
        assert_eq!(said(&[("a", &["b/.."])]), "a → \"b/..\": there is no such thing");
        assert_eq!(said(&[("a", &[]), ("a", &[])]), "\"a\" is there twice");
    }

    #[test]
    fn ten_thousand_in_a_chain_or_a_circle() {
        let names: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
        let needs =
            |place: usize| names.get(place.wrapping_sub(1)).map_or(&[][..], std::slice::from_ref);
        let chain = |places: &mut dyn Iterator<Item = usize>| {
            order(places.map(|place| (names[place].as_str(), needs(place)))).unwrap().places
        };
        assert_eq!(chain(&mut (0..10_000)), (0..10_000).collect::<Vec<_>>());
        assert_eq!(chain(&mut (0..10_000).rev()), (0..10_000).rev().collect::<Vec<_>>());
        let last = std::slice::from_ref(&names[9_999]);
        let circle = (0..10_000).map(|n| (names[n].as_str(), if n == 0 { last } else { needs(n) }));
        let said = order(circle).unwrap_err().to_string();
        assert!(said.starts_with("a circle: 0 → 9999 → 9998 → "), "{said}");
        assert!(said.ends_with(" → … (10000 in all)"), "{said}");
    }
}

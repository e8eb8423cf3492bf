//! Behind the lesson: things that depend on each other by name, in an order in which each comes after those
//! it needs.

use std::collections::HashMap;

/// How many names of a circle an error shows.
const MAX_SHOWN: usize = 12;

/// What was found. Every number is a place in the list that was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    /// All places, each after those it depends on. A list that is in order already stays as it is.
    pub(crate) places: Vec<usize>,
    /// Of each place, those it depends on.
    pub(crate) before: Vec<Vec<usize>>,
}

/// Why there is no order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OrderError {
    /// A name is given twice.
    #[error("{0:?} is there twice")]
    Twice(String),
    /// Something depends on what is not there.
    #[error("{0} → {1:?}: there is no such thing")]
    Unknown(String, String),
    /// Each depends on the next, and the last is the first.
    #[error("a circle: {}", shown(.0))]
    Circle(Vec<String>),
}

fn shown(circle: &[String]) -> String {
    if circle.len() <= MAX_SHOWN {
        return circle.join(" → ");
    }
    let beginning = circle[..MAX_SHOWN].join(" → ");
    let all = circle.len() - 1; // the first is named again as the last
    format!("{beginning} → … ({all} in all)")
}

/// Orders things: the name of each, and the names of those it depends on.
///
/// # Errors
/// There is no order.
pub(crate) fn order<'a>(
    things: impl IntoIterator<Item = (&'a str, &'a [String])>,
) -> Result<Order, OrderError> {
    let (names, needs): (Vec<&str>, Vec<&[String]>) = things.into_iter().unzip();
    let before = places_needed(&names, &needs)?;
    let mut search = Search {
        names: &names,
        before: &before,
        states: vec![State::New; names.len()],
        placed: Vec::with_capacity(names.len()),
    };
    for start in 0..names.len() {
        search.place(start)?;
    }
    let places = search.placed;
    Ok(Order { places, before })
}

/// Of each thing, the places of those it depends on.
fn places_needed(names: &[&str], needs: &[&[String]]) -> Result<Vec<Vec<usize>>, OrderError> {
    let mut place_of = HashMap::with_capacity(names.len());
    for (place, name) in names.iter().enumerate() {
        if place_of.insert(*name, place).is_some() {
            return Err(OrderError::Twice((*name).to_owned()));
        }
    }
    let mut all = Vec::with_capacity(names.len());
    for (name, needs) in names.iter().zip(needs) {
        let mut places = Vec::with_capacity(needs.len());
        for need in *needs {
            let Some(place) = place_of.get(need.as_str()) else {
                return Err(OrderError::Unknown((*name).to_owned(), need.clone()));
            };
            places.push(*place);
        }
        all.push(places);
    }
    Ok(all)
}

/// How far the search is with a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It was not looked at yet.
    New,
    /// It is on the path that is being followed: to depend on it closes a circle.
    OnPath,
    /// It has its place, after all that it depends on.
    Placed,
}

/// A depth-first search.
struct Search<'a> {
    names: &'a [&'a str],
    before: &'a [Vec<usize>],
    states: Vec<State>,
    /// The order, as far as it is known.
    placed: Vec<usize>,
}

/// A thing on the path.
struct Visit {
    place: usize,
    /// How many of those it depends on were looked at.
    looked_at: usize,
}

impl Search<'_> {
    /// Places a thing, and all that it depends on before it. Goes down to what depends on nothing more, and
    /// back, by a path of its own: recursion would overflow the stack on a long chain.
    fn place(&mut self, start: usize) -> Result<(), OrderError> {
        if self.states[start] == State::Placed {
            return Ok(());
        }
        let mut path = Vec::new();
        self.visit(start, &mut path);
        while let Some(last) = path.last_mut() {
            let place = last.place;
            let Some(next) = self.before[place].get(last.looked_at).copied() else {
                self.states[place] = State::Placed;
                self.placed.push(place);
                path.pop();
                continue;
            };
            last.looked_at += 1;
            match self.states[next] {
                State::Placed => {}
                State::New => self.visit(next, &mut path),
                State::OnPath => return Err(self.circle(&path, next)),
            }
        }
        Ok(())
    }

    fn visit(&mut self, place: usize, path: &mut Vec<Visit>) {
        self.states[place] = State::OnPath;
        path.push(Visit { place, looked_at: 0 });
    }

    /// The circle that is closed when the end of the path depends on `first`.
    fn circle(&self, path: &[Visit], first: usize) -> OrderError {
        let places = path.iter().map(|visit| visit.place);
        let circle = places.skip_while(|place| *place != first).chain([first]);
        OrderError::Circle(circle.map(|place| self.names[place].to_owned()).collect())
    }
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

//! stub
/// stub
pub fn nearest<'a>(_word: &str, _candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    Vec::new()
}

//! stub
use crate::model::*;
/// s
pub enum Key {
    /// a
    ApiKey(String),
    /// b
    Token(String),
    /// c
    None,
}
/// s
pub struct Config {
    /// h
    pub headers: Vec<(String, String)>,
}
impl Config {
    /// n
    pub fn new(_u: &str, _k: Key) -> Result<Self, ModelError> {
        Ok(Self { headers: vec![] })
    }
    /// s
    pub fn shown_url(&self) -> String {
        String::new()
    }
}
/// c
pub struct Client;
impl Client {
    /// n
    pub fn new(_c: Config) -> Result<Self, ModelError> {
        Ok(Client)
    }
}
impl Model for Client {
    fn stream(&self, _r: &Request<'_>) -> ModelStream {
        Box::pin(futures_util::stream::empty())
    }
}
